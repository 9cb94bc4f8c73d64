"""HookedViT: a vision encoder with every activation under TransformerLens' names."""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from vitreous.errors import BadInputError
from vitreous.hooked import preprocess
from vitreous.hooked.loading import demand_family, load_native, locate
from vitreous.hooked.token_map import TokenMap, image_tokens
from vitreous.hooked.tower import HookedTower, two


class HookedViT(HookedTower):
    """A vision encoder: the native module, hook points, token map and preprocessing.

    `model(pixels)` returns the native output object. `model.vision` of a `HookedCLIP` is one of these, too.
    """

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        **options: Any,
    ) -> "HookedViT":
        """Loads a vision encoder, in evaluation mode.

        Args:
            name_or_path: an embedded model (`vitreous/...`), a folder in the transformers format, or a hub id. Of a
                model with several towers the vision tower is wrapped.
            dtype: type of the weights.
            device: where to put them.
            revision: branch, tag or commit on the hub.
            **options: passed to the native loader (device_map, attn_implementation, ...).

        Raises:
            UnsupportedError: for an architecture that no family knows.
            FormatError: if the checkpoint's keys do not fit.
            NetworkError: if something must be downloaded and cannot be.
        """
        source = locate(name_or_path, revision)
        native = load_native(source, ("vision",), dtype, device, **options)
        model = cls.from_native(native, name=source.name)
        model.processor = preprocess.image_processor(
            source.path, model.family, two(model.cfg.image_size), **source.options
        )
        return model

    @classmethod
    def from_native(cls, module: nn.Module, processor: Any = None, name: str = "") -> "HookedViT":
        """Wraps a module that is already there; no weight is copied.

        Args:
            module: an instance of a supported class; of a dual tower the vision tower is wrapped.
            processor: its image processor (or a processor that holds one); the family's usual one when None.
            name: shown in messages and stored with what is made from the model.

        Raises:
            UnsupportedError: for a class that no family knows.
        """
        family, _ = demand_family(type(module).__name__, "vision")
        return cls(module, family, getattr(processor, "image_processor", processor), name)

    # --- images --------------------------------------------------------------------------------------------------

    def preprocess(self, images: Any) -> Float[Tensor, "b c h w"]:
        """Pixels for the model, from a PIL image, a list of them, or Items.

        Raises:
            BadInputError: for anything that is not an image.
        """
        return preprocess.to_pixels(self._processor(), images)

    def unprocess(self, pixels: Float[Tensor, "b c h w"]) -> list[Image.Image]:
        """Pictures of what the model sees: normalisation undone, values clipped."""
        return preprocess.to_pictures(self._processor(), pixels)

    def _processor(self) -> Any:
        if self.processor is None:
            self.processor = preprocess.fallback(self.family, two(self.cfg.image_size))
        return self.processor

    # --- positions -----------------------------------------------------------------------------------------------

    @property
    def tokens(self) -> TokenMap:
        """Which position is what, for an input of the model's own size."""
        return self.token_map(two(self.cfg.image_size))

    def token_map(self, image_size: tuple[int, int]) -> TokenMap:
        """Which position is what, for an input of another size.

        Args:
            image_size: height and width in pixels.
        """
        height, width = two(self.cfg.patch_size)
        whole = image_tokens(self._special(), (image_size[0] // height, image_size[1] // width), (height, width))
        return whole if not self.family.noise else whole.first(len(self._special()) + self._n_kept(whole))

    def _n_kept(self, tokens: TokenMap) -> int:
        """Patches that a masked autoencoder keeps (of which `mask_ratio=0` as a loading option keeps all)."""
        n_patches = len(tokens.index("patch"))
        return int(n_patches * (1 - self.tower.config.mask_ratio))  # type: ignore[union-attr, operator]

    def _special(self) -> tuple[str, ...]:
        kinds: list[str] = []
        for entry in self.family.special:
            kind, _, field = entry.partition("*")
            kinds += [kind] * (int(getattr(self.tower.config, field)) if field else 1)  # type: ignore[union-attr]
        return tuple(kinds)

    def _image_sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        config: Any = self.tower.config
        patch = two(config.patch_size)
        if getattr(config, "image_size", None) is not None:
            return two(config.image_size), patch
        side = round(config.num_patches**0.5)
        return (side * patch[0], side * patch[1]), patch

    def _n_ctx(self) -> int:
        (height, width), (ph, pw) = self._image_sizes()
        whole = image_tokens((), (height // ph, width // pw), (ph, pw))
        return len(self._special()) + (self._n_kept(whole) if self.family.noise else whole.n)

    # --- running -------------------------------------------------------------------------------------------------

    def _inputs(self, inputs: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(inputs, Tensor) or inputs.dim() != 4:
            shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise BadInputError(
                f"pixels must be a tensor [b, c, h, w], got {shape}; `model.preprocess(images)` makes one"
            )
        size = tuple(inputs.shape[-2:])
        if size != two(self.cfg.image_size):
            if self.family.interpolate == "never":
                raise BadInputError(f"{self.name} takes {two(self.cfg.image_size)} pixels only, got {size}")
            if self.family.interpolate == "flag":
                kwargs.setdefault("interpolate_pos_encoding", True)
        pixels = inputs.to(self.device, self.dtype)
        height, width = (n // p for n, p in zip(size, two(self.cfg.patch_size), strict=True))
        if self.family.noise:  # keep the order of the patches, and of those that are dropped the last ones
            order = torch.arange(height * width, device=self.device) / (height * width)
            kwargs.setdefault(self.family.noise, order.expand(len(pixels), -1))
        if self.family.patches:
            pixels = rearrange(pixels, f"b c (h p) (w q) -> {self.family.patches}", h=height, w=width)
            kwargs.setdefault(
                "pixel_attention_mask", torch.ones(pixels.shape[:2], device=self.device, dtype=torch.long)
            )
            kwargs.setdefault("spatial_shapes", torch.tensor([[height, width]] * len(pixels), device=self.device))
        return {"pixel_values": pixels, **kwargs}
