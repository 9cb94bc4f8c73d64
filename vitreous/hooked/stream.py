"""The residual stream of one layer: where it enters, the middle, where it leaves, and contributions no module outputs.

The middle has no module of its own. A pre-hook on the second norm sees it, and an edit there would miss the skip path
around the norm; so the difference that the edit makes is carried to the layer's output. The same is done for
contributions that the native layer scales by a raw parameter.
"""

from typing import Any, no_type_check

from torch import Tensor, nn

from vitreous.hooked.point import Point, through
from vitreous.hooked.wiring import Points, Undo, first, first_input, on_input, on_output


@no_type_check
class Stream:
    """Attaches the stream's points of one layer.

    Args:
        layer: the native layer.
        points: local name -> point, of those that exist in this family: hook_resid_pre, hook_resid_mid, hook_mlp_in,
            hook_resid_post, and the scaled contributions hook_attn_out and hook_mlp_out.
        norm2: the norm before the MLP.
        scaled: contribution -> (module, name of the layer's scale parameter).
    """

    def __init__(
        self,
        layer: nn.Module,
        points: Points,
        norm2: nn.Module | None = None,
        scaled: dict[str, tuple[nn.Module, str]] | None = None,
    ) -> None:
        self.layer = layer
        self.points = points
        self.norm2 = norm2
        self.scaled = scaled or {}
        self.deltas: list[Tensor] = []

    def active(self, name: str) -> bool:
        """Whether the family has the point and a hook sits on it."""
        return name in self.points and self.points[name].active

    def attach(self) -> list[Undo]:
        """Puts hooks on the layer, its second norm and its scaled modules, as far as active points need them."""
        undo: list[Undo] = [self.layer.register_forward_hook(self._forget, always_call=True).remove]
        if self.active("hook_resid_pre"):
            undo.append(on_input(self.layer, self.points["hook_resid_pre"]))
        for name, (module, scale) in self.scaled.items():
            if self.active(name):
                undo.append(on_output(module, self._contribution(self.points[name], scale)))
        if self.norm2 is not None and any(map(self.active, ("hook_resid_mid", "hook_mlp_in", *self.scaled))):
            undo.append(on_input(self.norm2, self._middle))
        undo.append(on_output(self.layer, self._leave))
        return undo

    def _contribution(self, point: Point, scale: str) -> Any:
        """Shows `scale * out`; what an edit adds to it is carried, the module's own output stays."""

        def edit(out: Tensor) -> Tensor:
            factor = getattr(self.layer, scale)
            if factor is None:
                return point(out)
            new, edited = through(point, factor * out)
            if edited or new.requires_grad:
                self.deltas.append(new - factor * out)
            return out

        return edit

    def _middle(self, x: Tensor) -> Tensor:
        mid = self._moved(x)
        if self.active("hook_resid_mid"):
            before = x if mid is x else self._moved(x)  # a tensor of its own: what the skip path carries anyway
            mid = self.points["hook_resid_mid"](mid)
            if mid is not x:  # else an edit in place has reached the skip path, which shares the tensor
                self.deltas.append(mid - before)
        return self.points["hook_mlp_in"](mid.clone()) if self.active("hook_mlp_in") else mid

    def _leave(self, x: Tensor) -> Tensor:
        x = self._moved(x)
        return self.points["hook_resid_post"](x) if self.active("hook_resid_post") else x

    def _moved(self, x: Tensor) -> Tensor:
        for delta in self.deltas:
            x = x + delta
        return x

    def _forget(self, *_: Any) -> None:
        self.deltas.clear()


class Stop(Exception):
    """Ends a forward pass early; carries the residual stream where it ended."""

    def __init__(self, resid: Tensor) -> None:
        super().__init__()
        self.resid = resid


@no_type_check
def stop_at(layers: list[nn.Module], layer: int) -> Undo:
    """Makes the forward end with `Stop` before `layers[layer]`, or after the last one."""
    if layer < len(layers):

        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            raise Stop(first_input(args, kwargs))

        return layers[layer].register_forward_pre_hook(before, with_kwargs=True, prepend=True).remove

    def after(_: nn.Module, __: Any, out: Any) -> None:
        raise Stop(first(out))

    return layers[-1].register_forward_hook(after).remove
