"""Hook points: TransformerLens' own, plus what wrapping (not converting) a native model needs.

What runs inside every hooked module, here and in the modules around this one, is marked `no_type_check`: it carries no
shapes, and the checks that tests switch on at run time would cost more than the forward pass itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, no_type_check

import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint, LensHandle


@no_type_check
class Point(HookPoint):
    """A TransformerLens hook point that reports when hooks come or go, and counts how often it fired.

    The report lets the wrapper wire a point to the native module only while a hook sits on it; the count lets it
    raise when a hooked point was never reached.

    Attributes:
        n_fired: how many activations have passed through since the point was made.
        axes: number of axes that hooks see, where the native stream is a grid: `[b, rows, columns, ...]` is shown as
            `[b, pos, ...]`. 0 for whatever there is.
        packed: whether the native stream is `[pos, ...]`, of all images together; hooks see `[1, pos, ...]`.
        on_change: called without arguments after hooks were added or removed.
        hooked: the points of the same tower that have hooks, this one among them when it has.
        clock: of a model that generates; None for others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_fired = 0
        self.axes = 0
        self.packed = False
        self.on_change: Callable[[], None] = lambda: None
        self.hooked: set[Point] = set()
        self.clock: Any = None

    @property
    def step(self) -> int:
        """Which step of a generation is running: 0 reads the prompt, t reads the t-th token that was generated."""
        return 0 if self.clock is None else self.clock.step

    @property
    def active(self) -> bool:
        """Whether any hook, forward or backward, sits on the point."""
        return bool(self.fwd_hooks or self.bwd_hooks)

    def add_hook(self, hook: Any, *args: Any, alias_names: list[str] | None = None, **kwargs: Any) -> LensHandle:
        """As in TransformerLens: `fn(tensor, hook=point)`, return None to leave the activation as it is."""
        for name in alias_names or ():
            hook = partial(_renamed, hook, name)
        handle = super().add_hook(hook, *args, **kwargs)
        self._changed()
        return handle

    def remove_hooks(self, *args: Any, **kwargs: Any) -> None:
        """As in TransformerLens."""
        super().remove_hooks(*args, **kwargs)
        self._changed()

    def drop(self, handle: LensHandle) -> None:
        """Removes one hook, and no other; a no-op when it is gone already."""
        handle.hook.remove()
        self.fwd_hooks = [h for h in self.fwd_hooks if h is not handle]
        self.bwd_hooks = [h for h in self.bwd_hooks if h is not handle]
        self._changed()

    def _changed(self) -> None:
        (self.hooked.add if self.active else self.hooked.discard)(self)
        self.on_change()

    def adopt(self, other: "Point") -> None:
        """Adds the hooks of another point."""
        for direction, handles in (("fwd", other.fwd_hooks), ("bwd", other.bwd_hooks)):
            for h in handles:
                self.add_hook(h.user_hook, dir=direction, is_permanent=h.is_permanent, level=h.context_level)

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed and x.dim() < self.axes:
            shown, back = x.unsqueeze(0), lambda out: out.squeeze(0)
        elif self.axes and x.dim() > self.axes:
            shown, back = x.flatten(1, 2), lambda out: out.unflatten(1, x.shape[1:3])
        else:
            return super().__call__(x)
        out = super().__call__(shown)
        return x if out is shown and not out.requires_grad and shown.data_ptr() == x.data_ptr() else back(out)

    def forward(self, x: Tensor) -> Tensor:
        self.n_fired += 1
        return x


class Renamed:
    """A point under the name that it has in a model of several towers; everything else is the point's own."""

    def __init__(self, point: Point, name: str) -> None:
        self.point, self.name = point, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.point, attribute)


@no_type_check
def _renamed(function: Callable[..., Any], name: str, tensor: Tensor, hook: Point) -> Any:
    return function(tensor, hook=Renamed(hook, name))


@no_type_check
def through(point: Point, value: Tensor) -> tuple[Tensor, bool]:
    """Shows a derived value (one the native forward never makes) to a point's hooks.

    Returns:
        what came back, and whether its numbers differ from what went in (in-place edits count).
    """
    if not point.active:
        return value, False
    before = value.clone() if value.is_inference() else None  # inference tensors carry no version counter
    version = None if before is not None else value._version
    new = point(value)
    if new is not value:
        reference = value if before is None and value._version == version else before
        unknown = reference is None or new.is_meta or new.shape != reference.shape
        return new, unknown or not torch.equal(new, reference)
    return new, not torch.equal(new, before) if before is not None else value._version != version


@no_type_check
def exact(native: Tensor, rebuilt: Tensor, edited: bool) -> Tensor:
    """The native value where nothing was edited, bit for bit, with the gradient of the rebuilt one.

    Rebuilding a product from its parts (`sum of the heads' results + bias`) rounds differently from the native
    product, so the rebuilt value is used only after an edit. Gradients always take the rebuilt path, so that they
    reach the part that a hook saw.
    """
    if edited:
        return rebuilt.to(native.dtype)
    if rebuilt.requires_grad:
        return native.detach() + (rebuilt - rebuilt.detach()).to(native.dtype)
    return native
