"""The residual stream of one layer: where it enters, its middles, where it leaves, and contributions no module outputs.

A middle has no module of its own. A pre-hook on the norm that reads it sees it, and an edit there would miss the skip
path around the norm; so the difference that the edit makes is carried to the layer's output. The same is done for
contributions that the native layer scales by a raw parameter or rearranges before it adds them.
"""

from collections.abc import Callable
from typing import Any, no_type_check

from torch import Tensor, nn

from vitreous.hooked.point import Point, through
from vitreous.hooked.site import Scaled
from vitreous.hooked.view import VIEWS, View
from vitreous.hooked.wiring import Points, Undo, first, first_input, on_input, on_output

Contribution = tuple[nn.Module, Callable[[Any, Tensor], Tensor]]


@no_type_check
class Stream:
    """Attaches the stream's points of one layer.

    Args:
        layer: the native layer.
        points: local name -> point, of those that exist in this family: hook_resid_pre, the middles, hook_mlp_in,
            hook_resid_post, and the contributions that no module outputs.
        middles: local name -> (the norm that reads the stream there, view), in execution order; `hook_mlp_in` is read
            by the last one.
        added: local name -> (module, function of the stream and the module's output that makes of the output what is
            added to the stream).
        copy: see `ResidPre.copy`.
        outer: view of what enters and leaves the layer.
    """

    def __init__(
        self,
        layer: nn.Module,
        points: Points,
        middles: dict[str, tuple[nn.Module, View]] | None = None,
        added: dict[str, Contribution] | None = None,
        copy: bool = False,
        outer: View = VIEWS[""],
    ) -> None:
        self.layer = layer
        self.points = points
        self.middles = middles or {}
        self.added = added or {}
        self.copy, self.outer = copy, outer
        self.deltas: list[Tensor] = []
        self.entered: tuple[int, ...] = ()
        self.given: dict[str, Any] = {}

    def active(self, name: str) -> bool:
        """Whether the family has the point and a hook sits on it."""
        return name in self.points and self.points[name].active

    def attach(self) -> list[Undo]:
        """Puts hooks on the layer, the norms that read it and its modules, as far as active points need them."""
        undo: list[Undo] = [self.layer.register_forward_hook(self._forget, always_call=True).remove]
        undo.append(self.layer.register_forward_pre_hook(self._note, with_kwargs=True).remove)
        undo.append(on_input(self.layer, self._enter))
        for name, (module, show) in self.added.items():
            if self.active(name):
                undo.append(on_output(module, self._contribution(self.points[name], show)))
        if any(map(self.active, ("hook_mlp_in", *self.middles, *self.added))):
            for name, (norm, view) in self.middles.items():
                undo.append(on_input(norm, self._middle(name, view)))
        undo.append(on_output(self.layer, self._leave))
        return undo

    def _note(self, _: nn.Module, __: Any, kwargs: Any) -> None:
        self.given = kwargs

    def _enter(self, x: Tensor) -> Tensor:
        self.entered = tuple(x.shape)
        if not self.active("hook_resid_pre"):
            return x
        expanded = 0 in x.stride()  # learnt latents, one for the whole batch: they cannot be edited in place
        shown = self.outer.show(self.layer, x.clone() if expanded or self.copy else x, self.entered)
        return self.outer.hide(self.layer, self.points["hook_resid_pre"](shown), self.entered)  # type: ignore[misc]

    def _contribution(self, point: Point, show: Any) -> Any:
        """Shows what is added; what an edit adds to it is carried, the module's own output stays."""

        def edit(out: Tensor) -> Tensor:
            value = show(self, out)
            if value is out:
                return point(out.clone() if out._is_view() else out)
            new, edited = through(point, value.clone())
            if edited or new.requires_grad:
                self.deltas.append(new - value)
            return out

        return edit

    def _middle(self, name: str, view: View) -> Any:
        last = name == list(self.middles)[-1]

        def edit(x: Tensor) -> Tensor:
            native = view.show(self.layer, x, self.entered)
            mid = self._moved(native)
            if self.active(name):
                before = native if mid is native else self._moved(native)  # the skip path's, in a tensor of its own
                if native is x:
                    mid = self.points[name](mid)
                    moved = mid is not x  # else an edit in place has reached the skip path, which shares the tensor
                else:
                    mid, moved = through(self.points[name], mid.clone())
                    moved = moved or mid.requires_grad
                if moved:
                    self.deltas.append(mid - before)
            if last and self.active("hook_mlp_in"):
                mid = self.points["hook_mlp_in"](mid.clone())
            if native is x or mid is native:
                return mid if native is x else x
            assert view.hide is not None
            return view.hide(self.layer, mid, self.entered)

        return edit

    def _leave(self, x: Tensor) -> Tensor:
        if not (self.deltas or self.active("hook_resid_post")):
            return x
        x = self._moved(self.outer.show(self.layer, x, self.entered))
        x = self.points["hook_resid_post"](x) if self.active("hook_resid_post") else x
        return self.outer.hide(self.layer, x, self.entered)  # type: ignore[misc]

    def _moved(self, x: Tensor) -> Tensor:
        for delta in self.deltas:
            x = x + delta.to(x.device)  # a layer may be spread over devices
        return x

    def _forget(self, *_: Any) -> None:
        self.deltas.clear()
        self.given = {}


@no_type_check
def factor(layer: nn.Module, site: Scaled) -> Any:
    """What a raw parameter says about a contribution; None where it says nothing."""
    value = getattr(layer, site.scale)
    return value.tanh() if site.tanh else value


@no_type_check
def scaled(site: Scaled) -> Any:
    """The contribution `parameter * out`; where the parameter is None or a plain 1, the output itself."""

    def show(stream: Stream, out: Tensor) -> Tensor:
        scale, rows = factor(stream.layer, site), stream.given.get(site.rows)
        out = out if rows is None else rows[:, 0] * out
        return out if scale is None else scale * out

    return show


@no_type_check
def viewed(view: View) -> Any:
    """The contribution in the stream's layout."""
    return lambda stream, out: view.show(stream.layer, out, stream.entered)


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
