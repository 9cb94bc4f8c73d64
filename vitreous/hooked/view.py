"""Views: how layers that cut the sequence up (into windows, frames, pools) lay out what they add to the stream.

A view turns a native tensor into the stream's own layout `[b, pos, d]`, and back where there is a way back. The layers
do the same in the middle of their forward, where no module's output could be hooked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, no_type_check

import torch
from einops import rearrange
from torch import Tensor, nn

from vitreous.hooked.wiring import Undo, first_input

Shape = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """Two functions of (module, tensor, shape of what entered the module).

    Attributes:
        show: native layout to the stream's.
        hide: the stream's layout to the native one; `None` where edits are carried as differences instead.
    """

    show: Callable[[nn.Module, Tensor, Shape], Tensor]
    hide: Callable[[nn.Module, Tensor, Shape], Tensor] | None = None


@no_type_check
class Call:
    """Lets an edit act on one call of a module in a forward of `base`, in the stream's layout.

    Args:
        base: the module whose forward starts the count, and whose input says what the layout is.
        nth: the call that counts, from 1; 0 for every call.
        view: name of the view between the module's layout and the stream's.
    """

    def __init__(self, base: nn.Module, nth: int = 0, view: str = "") -> None:
        self.base, self.nth, self.view = base, nth, view
        self.count, self.entered = 0, ()
        self.given: dict[str, Any] = {}

    def start(self, _: nn.Module, args: Any, kwargs: Any) -> None:
        """Starts counting again, and keeps the shape of what enters the base, and its other arguments."""
        self.count, self.given = 0, kwargs
        if self.view:
            self.entered = tuple(first_input(args, kwargs).shape)

    def __call__(self, edit: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """`edit(..., out)`, for the chosen call; other calls return `out` as it is."""
        view = VIEWS[self.view]

        def viewed(*values: Tensor) -> Tensor:
            shown = (view.show(self.base, value, self.entered) for value in values)
            assert view.hide is not None
            return view.hide(self.base, edit(*shown), self.entered)

        def counted(*values: Tensor) -> Tensor:
            self.count += 1
            return act(*values) if self.count == self.nth else values[-1]

        act = viewed if self.view else edit
        return counted if self.nth else act

    def undo(self) -> list[Undo]:
        """Starts over with each forward of the base; how to stop."""
        return [self.base.register_forward_pre_hook(self.start, with_kwargs=True).remove]


@no_type_check
def _same(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    return value


@no_type_check
def _frames(layer: Any, entered: Shape) -> dict[str, int]:
    """Frames and batch of a divided layer (TimeSformer), whose patches are ordered (row column frame)."""
    return {"b": entered[0], "t": layer.config.num_frames}


@no_type_check
def _channels_last(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    """`[b, d, rows, columns]` to the stream; what is a sequence already stays."""
    return value if value.dim() == 3 else value.flatten(2).transpose(1, 2)


@no_type_check
def _channels_first(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    return value.transpose(1, 2).unflatten(2, entered[2:])


@no_type_check
def _swap(attn: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    """Attention between channels: what stands for positions are channels, and the other way round."""
    return value.transpose(1, 3)


@no_type_check
def _unflatten(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    """`[b*pos, d]` to the stream."""
    return value.unflatten(0, entered[:2])


@no_type_check
def _flatten(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    return value.flatten(0, 1)


@no_type_check
def _no_cls(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    """Temporal attention adds nothing to CLS."""
    return torch.cat([value.new_zeros(value.shape[0], 1, value.shape[-1]), value], 1)


@no_type_check
def _join_frames(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    """`[b*frames, 1+patches, d]` to the stream; every frame carries the same CLS."""
    sizes = _frames(layer, entered)
    cls = rearrange(value[:, 0], "(b t) d -> b t d", **sizes)[:, :1]
    return torch.cat([cls, rearrange(value[:, 1:], "(b t) n d -> b (n t) d", **sizes)], 1)


@no_type_check
def _mean_frames(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    """As `_join_frames`, with the mean over frames for CLS."""
    sizes = _frames(layer, entered)
    cls = rearrange(value[:, 0], "(b t) d -> b t d", **sizes).mean(1, True)
    return torch.cat([cls, rearrange(value[:, 1:], "(b t) n d -> b (n t) d", **sizes)], 1)


@no_type_check
def _split_frames(layer: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    t = _frames(layer, entered)["t"]
    cls = value[:, :1].repeat_interleave(t, 0)
    return torch.cat([cls, rearrange(value[:, 1:], "b (n t) d -> (b t) n d", t=t)], 1)


@no_type_check
def _unwindow(layer: Any, value: Tensor, entered: Shape) -> Tensor:
    """SAM: `[b*windows, side, side, d]` back to `[b, rows, columns, d]`, padding cut off."""
    side, (rows, columns) = layer.window_size, entered[1:3]
    if not side:
        return value
    padded = tuple(n + (side - n % side) % side for n in (rows, columns))
    return layer.window_unpartition(value, side, padded, (rows, columns))


@no_type_check
def _pool(layer: Any, value: Tensor, entered: Shape) -> Tensor:
    """Hiera, where the width changes: the largest of each `query_stride` positions."""
    return rearrange(value, "b (s n) d -> b s n d", s=layer.query_stride).max(1).values


@no_type_check
def _n_windows(attn: Any, entered: Shape) -> int:
    return entered[1] // (attn.query_stride * attn.window_size) if attn.use_mask_unit_attn else 1


@no_type_check
def _to_windows(attn: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    """Hiera's attention: a sequence is (position window)."""
    return rearrange(value, "b (n w) h e -> (b w) n h e", w=_n_windows(attn, entered))


@no_type_check
def _from_windows(attn: nn.Module, value: Tensor, entered: Shape) -> Tensor:
    return rearrange(value, "(b w) n h e -> b (n w) h e", w=_n_windows(attn, entered))


VIEWS: dict[str, View] = {
    "": View(_same, _same),
    "channels first": View(_channels_last, _channels_first),
    "channel groups": View(_swap, _swap),
    "flat": View(_unflatten, _flatten),
    "without cls": View(_no_cls),
    "frames": View(_join_frames, _split_frames),
    "mean over frames": View(_mean_frames),
    "sam windows": View(_unwindow),
    "hiera pool": View(_pool),
    "hiera windows": View(_to_windows, _from_windows),
}
"""Name in a family's table -> view."""
