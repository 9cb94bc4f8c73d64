"""What a caching hook does with an activation: cut, moved or copied if need be, held once."""

import weakref
from typing import Any, no_type_check

from torch import Tensor

from vitreous.errors import BadInputError

BY_HEAD = ("hook_q", "hook_k", "hook_v", "hook_z", "hook_result", "_input", "hook_attn_in")
"""Ends of the names of points that see `[b, pos, heads, d]`."""


@no_type_check
class Keeper:
    """A hook function that stores activations, detached.

    A view of something larger is copied, so that a cache holds what was asked for. A tensor that two points show one
    after the other (the stream leaves a block and enters the next) is moved or copied once, unless it changed.

    Args:
        cache: where they go, by name.
        device: where to move them; None leaves them where they are.
        copy: whether a later hook might edit what is stored.
        drop_batch: drop the batch axis.
        positions: which positions to keep (TransformerLens' `Slice`).
    """

    def __init__(self, cache: dict[str, Tensor], device: Any, copy: bool, drop_batch: bool, positions: Any) -> None:
        self.cache, self.device, self.copy = cache, device, copy
        self.drop_batch, self.positions = drop_batch, positions
        self.last: tuple[Any, ...] = (lambda: None,) * 2

    def __call__(self, tensor: Tensor, hook: Any, *, name: str) -> None:
        """Stores one activation under a name."""
        axis = -3 if name.removesuffix("_grad").endswith(BY_HEAD) else -2
        version = None if tensor.is_inference() else (tensor._version, axis)  # None: edits in place cannot be seen
        kept = self.last[1]() if self.last[0]() is tensor and version is not None and self.last[2] == version else None
        if kept is None:
            kept = self._cut(tensor, axis, name)
            self.last = (weakref.ref(tensor), weakref.ref(kept), version)
        self.cache[name] = kept

    def _cut(self, tensor: Tensor, axis: int, name: str) -> Tensor:
        kept = tensor.detach()
        if self.drop_batch:
            if kept.shape[0] != 1:
                raise BadInputError(f"remove_batch_dim needs a batch of one, got {kept.shape[0]} at {name}")
            kept = kept[0]
        if self.positions.mode != "identity" and kept.dim() >= -axis:
            kept = self.positions.apply(kept, dim=axis)
        kept = kept if self.device is None else kept.to(self.device)
        larger = kept.untyped_storage().nbytes() > kept.nbytes
        shared = kept.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
        return kept.clone() if larger or (self.copy and shared) else kept
