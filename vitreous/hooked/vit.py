"""HookedViT: a vision encoder with every activation under TransformerLens' names."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import BadInputError
from vitreous.hooked import preprocess
from vitreous.hooked.checkpoint import load_native
from vitreous.hooked.loading import Source, family_for, locate
from vitreous.hooked.raster import unrolled
from vitreous.hooked.token_map import TokenMap, image_tokens
from vitreous.hooked.tower import HookedTower, attribute, two
from vitreous.hooked.transform import own_transform


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
            name_or_path: an embedded model (`vitreous/...`), a folder in the format of transformers, timm or open_clip,
                a hub id, `open_clip:ARCHITECTURE/WEIGHTS` or `timm:ARCHITECTURE.WEIGHTS` (see
                `vitreous.hooked.name.resolve`). Of a model with several towers the vision tower is wrapped.
            dtype: type of the weights.
            device: where to put them.
            revision: branch, tag or commit on the hub.
            **options: passed to the native loader (device_map, attn_implementation, ...).

        Raises:
            UnsupportedError: for an architecture that no family knows.
            FormatError: if the checkpoint's keys do not fit.
            NetworkError: if something must be downloaded and cannot be.
            MissingDependencyError: if timm or open_clip is needed and not installed.
        """
        source = locate(name_or_path, revision)
        native = load_native(source, ("vision",), dtype, device, **options)
        model = cls.from_native(native, name=source.name)
        model.load_processor(source)
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
        family = family_for(module, "vision")
        return cls(module, family, getattr(processor, "image_processor", processor), name)

    # --- images --------------------------------------------------------------------------------------------------

    def preprocess(self, images: Any) -> Float[Tensor, "b c h w"] | Float[Tensor, "b t c h w"]:
        """Pixels for the model.

        Args:
            images: a PIL image, a list of them, or Items. For a video model the frames of one clip, or a list of
                clips; of a clip with more frames than the model takes, evenly spaced ones are used.

        Raises:
            BadInputError: for anything that is not an image, or clips that are too short.
        """
        if not self.family.frames:
            return preprocess.to_pixels(self._processor(), images)
        return preprocess.to_clips(self._processor(), images, self.cfg.n_frames)

    def unprocess(self, pixels: Float[Tensor, "b c h w"] | Float[Tensor, "b t c h w"]) -> list[Any]:
        """Pictures of what the model sees: normalisation undone, values clipped; for clips a list of frames each."""
        if pixels.dim() == 5:
            return [preprocess.to_pictures(self._processor(), clip) for clip in pixels]
        return preprocess.to_pictures(self._processor(), pixels)

    def load_processor(self, source: Source) -> None:
        """Takes the preprocessing of a checkpoint (a model of timm or open_clip carries its own)."""
        if source.library == "transformers":
            size = two(self.cfg.image_size)
            self.processor = preprocess.image_processor(source.path, self.family, size, **source.options)

    def _processor(self) -> Any:
        if self.processor is None:
            size = two(self.cfg.image_size)
            self.processor = own_transform(self.native, size) or preprocess.fallback(self.family, size)
        return self.processor

    # --- positions -----------------------------------------------------------------------------------------------

    @property
    def tokens(self) -> TokenMap:
        """Which position is what, for an input of the model's own size."""
        return self.token_map(two(self.cfg.image_size))

    def token_map(self, image_size: tuple[int, int], n_frames: int | None = None, layer: int = 0) -> TokenMap:
        """Which position is what, for an input of another size.

        Args:
            image_size: height and width in pixels.
            n_frames: number of frames of a clip; the model's own when None.
            layer: block whose positions are meant, where stages have fewer and fewer (Swin, Hiera).

        Raises:
            BadInputError: for a layer that does not exist.
        """
        stage = self._stage(layer)
        grid, patch = self._grid(image_size, stage)
        steps = (self.cfg.n_frames if n_frames is None else n_frames) // self._tubelet()
        whole = image_tokens(
            self._special(),
            grid,
            patch,
            n_frames=steps if self.family.frames else 1,
            tubelet=self._tubelet(),
            time_last=self.family.time_last,
        )
        if self.family.unroll:
            strides = [two(getattr(self.config, self.family.unroll))] * (len(self.cfg.stages) - 1 - stage)
            return whole.take(unrolled(grid, strides))
        return whole if not self.family.noise else whole.first(len(self._special()) + self._n_kept(whole))

    def _grid(self, image_size: tuple[int, int], stage: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns in a stage, and the size of a patch there."""
        factor = self.family.shrink**stage
        height, width = (n * factor for n in two(self.cfg.patch_size))
        cells = zip(image_size, two(self.cfg.patch_size), strict=True)
        rows, cols = (-(-(n // p) // factor) for n, p in cells)
        return (rows, cols), (height, width)

    def _stage(self, layer: int) -> int:
        ends = np.cumsum(self.cfg.stages)
        if not -ends[-1] <= layer < ends[-1]:
            raise BadInputError(f"layer {layer} does not exist: {self.name} has {ends[-1]} layers")
        return int(np.searchsorted(ends, layer % ends[-1], side="right"))

    def _tubelet(self) -> int:
        """Frames that a patch covers."""
        size = getattr(self.config, "tubelet_size", 1)
        return int(size if isinstance(size, int) else size[0])  # type: ignore[index]

    def _n_kept(self, tokens: TokenMap) -> int:
        """Patches that a masked autoencoder keeps (of which `mask_ratio=0` as a loading option keeps all)."""
        n_patches = len(tokens.index("patch"))
        return int(n_patches * (1 - self.config.mask_ratio))

    def _special(self) -> tuple[str, ...]:
        kinds: list[str] = []
        for entry in self.family.special:
            kind, _, field = entry.partition("*")
            kinds += [kind] * (_length(attribute(self.root, self.config, field)) if field else 1)
        return tuple(kinds)

    def _image_sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        patch = two(self._size("patch_size", "patch_size"))
        if "image_size" in self.family.sizes or getattr(self.config, "image_size", None) is not None:
            return two(self._size("image_size", "image_size")), patch
        if self.family.packed or not hasattr(self.config, "num_patches"):  # images of any size
            return (0, 0), patch
        side = round(self.config.num_patches**0.5)
        return (side * patch[0], side * patch[1]), patch

    def _n_frames(self) -> int:
        return int(getattr(self.config, self.family.frames)) if self.family.frames else 0

    def _n_ctx(self) -> int:
        (height, width), (ph, pw) = self._image_sizes()
        steps = self._n_frames() // self._tubelet() if self.family.frames else 1
        whole = image_tokens((), (height // ph, width // pw), (ph, pw), n_frames=steps)
        return len(self._special()) + (self._n_kept(whole) if self.family.noise else whole.n)

    # --- running -------------------------------------------------------------------------------------------------

    def _check_pixels(self, inputs: Any) -> tuple[int, int]:
        """Height and width of the input.

        Raises:
            BadInputError: for anything that the model does not take.
        """
        axes = "[b, frames, c, h, w]" if self.family.frames else "[b, c, h, w]"
        if not isinstance(inputs, Tensor) or inputs.dim() != len(axes.split()):
            shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise BadInputError(f"pixels must be a tensor {axes}, got {shape}; `model.preprocess(images)` makes one")
        size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
        rule, _, field = self.family.interpolate.partition("if ")
        if size != two(self.cfg.image_size) and (rule == "never" or (field and not getattr(self.config, field, False))):
            why = f"load it with {field}=True for others" if hasattr(self.config, field) else "its positions are fixed"
            raise BadInputError(f"{self.name} takes {two(self.cfg.image_size)} pixels only, got {size}: {why}")
        if self.family.frames and inputs.shape[1] != self.cfg.n_frames and not self.family.rotary:
            raise BadInputError(f"{self.name} takes {self.cfg.n_frames} frames, got {inputs.shape[1]}")
        return size

    def _inputs(self, inputs: Any, **kwargs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):  # the native arguments, where pixels alone do not do (packed patches)
            return {k: self._placed(v) for k, v in inputs.items()} | kwargs
        size = self._check_pixels(inputs)
        if size != two(self.cfg.image_size) and self.family.interpolate == "flag":
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
        return {self.entry.argument or self.family.argument: pixels, **kwargs}


def _length(value: Any) -> int:
    """How many positions a config's field, or a parameter `[1, n, d]`, stands for; 0 for None and False."""
    return value.shape[1] if isinstance(value, Tensor) else int(value or 0)
