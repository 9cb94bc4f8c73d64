"""HookedFusion: a tower that reads image and text in one sequence (ViLT, FLAVA's multimodal encoder)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked.loading import demand_family, load_native, locate
from vitreous.hooked.token_map import TokenMap, text_tokens
from vitreous.hooked.tower import HookedTower, two

SEED = 0
"""ViLT draws the order of its patches; each forward here draws the same one, and leaves the generator alone."""


class HookedFusion(HookedTower):
    """A single-stream encoder of image and text: the native module, hook points and positions.

    `model(inputs)` takes what the native processor gives (a mapping of the native forward's arguments) and returns the
    native output object.
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
    ) -> "HookedFusion":
        """Loads the model, in evaluation mode; arguments and errors as in `HookedViT.from_pretrained`."""
        source = locate(name_or_path, revision)
        return cls.from_native(load_native(source, ("fusion",), dtype, device, **options), name=source.name)

    @classmethod
    def from_native(cls, module: nn.Module, processor: Any = None, name: str = "") -> "HookedFusion":
        """Wraps a module that is already there.

        Raises:
            UnsupportedError: for a class that no family knows.
        """
        family, _ = demand_family(type(module).__name__, "fusion")
        return cls(module, family, processor, name)

    def native_call(self) -> Callable[..., Any]:
        """The native forward, with the same draws every time."""
        call = super().native_call()

        def fixed(**given: Any) -> Any:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(SEED)
                return call(**given)

        return fixed

    def token_map(self, inputs: Mapping[str, Tensor]) -> TokenMap:
        """Which position is what, for the first row of a batch.

        Args:
            inputs: as for the model.

        Raises:
            UnsupportedError: for a model that takes hidden states, and cannot know where they come from.
        """
        given = self._inputs(inputs)
        if "input_ids" not in given:
            raise UnsupportedError(f"{self.name} takes hidden states; only who made them knows which position is what")
        text = text_tokens(given["input_ids"].shape[1])
        embeddings: Any = getattr(self.tower, "embeddings", None)
        if embeddings is not None:  # ViLT: text, CLS, patches in the order that was drawn
            pixels = given["pixel_values"]
            mask = given.get("pixel_mask", torch.ones_like(pixels[:, 0]))
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(SEED)
                length = embeddings.config.max_image_length
                _, _, (index, grid) = embeddings.visual_embed(pixels, mask, max_image_length=length)
            return joined(text, patches(index[0].cpu().numpy(), grid, two(embeddings.config.patch_size)))
        config: Any = self.native.config.image_config  # type: ignore[union-attr]
        patch = two(config.patch_size)
        rows, cols = (n // p for n, p in zip(two(given["pixel_values"].shape[-2:]), patch, strict=True))
        index = np.indices((rows, cols)).reshape(2, -1).T
        own = replace(text_tokens(1), kind=("cls",))
        return joined(joined(own, patches(index, (rows, cols), patch)), text)

    def _n_ctx(self) -> int:
        return 0  # as many as text and image have together

    def _inputs(self, inputs: Any, **kwargs: Any) -> dict[str, Any]:
        if isinstance(inputs, Tensor):
            inputs = {"hidden_states": inputs}
        if not isinstance(inputs, Mapping):
            raise BadInputError(f"give a mapping of the native forward's arguments, not a {type(inputs).__name__}")
        moved = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in inputs.items()}
        cast = {k: v.to(self.dtype) for k, v in moved.items() if isinstance(v, Tensor) and v.is_floating_point()}
        return {**moved, **cast, **kwargs}


def patches(index: np.ndarray, grid: tuple[int, int], patch_size: tuple[int, int]) -> TokenMap:
    """CLS, then patches at (row, column)."""
    row, col = (np.concatenate([[-1], index[:, axis]]) for axis in (0, 1))
    return TokenMap(("cls", *("patch",) * len(index)), row, col, (int(grid[0]), int(grid[1])), patch_size)


def joined(a: TokenMap, b: TokenMap) -> TokenMap:
    """One sequence after the other; the grid is that of the one that has an image."""
    image = a if a.grid != (0, 0) else b
    row, col, frame = (np.concatenate([getattr(a, n), getattr(b, n)]) for n in ("row", "col", "frame"))
    return TokenMap((*a.kind, *b.kind), row, col, image.grid, image.patch_size, frame)
