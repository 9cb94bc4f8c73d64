"""Wires between hook points and native modules, and how to reach the hidden state in what a module takes and gives."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, no_type_check

from torch import Tensor, nn

from vitreous.hooked.point import Point

Points = Mapping[str, Point]
Undo = Callable[[], None]


_WAITING: list[dict[int, "Wire"]] = []


@no_type_check
@contextmanager
def together() -> Iterator[None]:
    """Wires are brought in line once, at the end: many hooks come or go at the price of one."""
    _WAITING.append({})
    try:
        yield
    finally:
        for wire in _WAITING.pop().values():
            wire.sync()


@no_type_check
class Wire:
    """Points that are attached together. `sync` brings the native module in line with the hooks there are.

    Args:
        points: local name -> point.
        attach: puts torch hooks on native modules for the points that are active, returns how to undo each.
    """

    def __init__(self, points: Points, attach: Callable[[], list[Undo]]) -> None:
        self.points = points
        self.attach = attach
        self.active: tuple[str, ...] = ()
        self.undo: list[Undo] = []
        for point in points.values():
            point.on_change = self.sync

    def sync(self) -> None:
        """Attaches, re-attaches or detaches, if the set of hooked points has changed."""
        if _WAITING:
            _WAITING[-1][id(self)] = self
            return
        active = tuple(name for name, point in self.points.items() if point.active)
        if active != self.active:
            self.detach()
            self.active = active
            self.undo = self.attach() if active else []

    def detach(self) -> None:
        """Takes everything off the native module; hooks stay on the points."""
        for undo in reversed(self.undo):
            undo()
        self.undo, self.active = [], ()


@no_type_check
def find(root: nn.Module, base: nn.Module, path: str, identity: bool = False) -> nn.Module | None:
    """The module at a site's path; None when no alternative exists (missing, None or, unless asked for, Identity)."""
    for option in path.split("|"):
        start, dotted = (root, option[1:]) if option.startswith("/") else (base, option)
        module: Any = start
        for part in filter(None, dotted.split(".")):
            module = getattr(module, part, None)
        if isinstance(module, nn.Module) and (identity or not isinstance(module, nn.Identity)):
            return module
    return None


@no_type_check
def find_layers(root: nn.Module, base: nn.Module, path: str) -> list[tuple[nn.Module, list[nn.Module]]]:
    """The layers of a stack, stage by stage: (module that the stage's rows are relative to, its layers).

    `encoder.layers.*.blocks` means the blocks of every child of `encoder.layers`; without a star there is one stage. A
    path to a single layer is a stack of one, `blocks.*.*` the parts of every block of every child of `blocks`.
    """
    outer, star, inner = path.partition(".*.")
    holder = find(root, base, outer)
    if holder is None:
        return []
    if inner == "*":
        parts = [
            (stage, [part for block in stage.children() for part in block.children()]) for stage in holder.children()
        ]
        return parts
    stages = [(base, holder)] if not star else [(child, find(root, child, inner)) for child in holder.children()]
    return [(stage, _items(layers)) for stage, layers in stages if layers is not None]


@no_type_check
def _items(layers: nn.Module) -> list[nn.Module]:
    return list(layers.children()) if isinstance(layers, nn.ModuleList | nn.Sequential) else [layers]


@no_type_check
def first(out: Any) -> Tensor:
    """The hidden state in what a module returned."""
    return out if isinstance(out, Tensor) else out[0]


@no_type_check
def with_first(out: Any, new: Tensor) -> Any:
    """What a module returned, with another hidden state."""
    return new if isinstance(out, Tensor) else (new, *out[1:])


_HIDDEN = ("hidden_states", "hidden_state", "inputs_embeds", "x", "input", "queries", "query_embeds")


@no_type_check
def first_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The hidden state among a module's arguments."""
    return args[0] if args else next(kwargs[k] for k in _HIDDEN if k in kwargs)


@no_type_check
def with_input(args: tuple[Any, ...], kwargs: dict[str, Any], new: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A module's arguments with another hidden state."""
    if args:
        return (new, *args[1:]), kwargs
    return args, kwargs | {next(k for k in _HIDDEN if k in kwargs): new}


@no_type_check
def on_input(module: nn.Module, edit: Callable[[Tensor], Tensor]) -> Undo:
    """Passes a module's input through `edit`."""

    def hook(_: nn.Module, args: Any, kwargs: Any) -> Any:
        x = first_input(args, kwargs)
        return None if x is None else with_input(args, kwargs, edit(x))  # None: the module was given ids instead

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


@no_type_check
def on_output(module: nn.Module, edit: Callable[[Tensor], Tensor], prepend: bool = True) -> Undo:
    """Passes a module's output through `edit`, before any hook that is there already (or after).

    transformers collects hidden states with hooks of its own; an edit made after them would be missed by models that
    read the collected list.
    """

    def hook(_: nn.Module, __: Any, out: Any) -> Any:
        return with_first(out, edit(first(out)))

    return module.register_forward_hook(hook, prepend=prepend).remove


@no_type_check
def on_both(module: nn.Module, edit: Callable[[Tensor, Tensor], Tensor]) -> Undo:
    """Passes a module's output through `edit(input, output)`."""

    def hook(_: nn.Module, args: Any, kwargs: Any, out: Any) -> Any:
        return with_first(out, edit(first_input(args, kwargs), first(out)))

    return module.register_forward_hook(hook, with_kwargs=True, prepend=True).remove


@no_type_check
def around(module: nn.Module, method: str, before: Callable[[dict[str, Any]], None], after: Callable[[], None]) -> Undo:
    """Calls `before(keyword arguments)` and `after()` around every call of a method, also when it raises."""
    if method == "forward":
        first = module.register_forward_pre_hook(lambda _, __, kwargs: before(kwargs), with_kwargs=True)
        last = module.register_forward_hook(lambda *_: after(), always_call=True)

        def undo() -> None:
            first.remove()
            last.remove()

        return undo
    wrapped = module.__dict__.setdefault(method, _Around(getattr(module, method)))
    pair = (before, after)
    wrapped.pairs.append(pair)

    def undo() -> None:
        wrapped.pairs.remove(pair)
        if not wrapped.pairs:
            module.__dict__.pop(method, None)

    return undo


@no_type_check
class _Around:
    """A method of one instance, with calls before and after."""

    def __init__(self, native: Callable[..., Any]) -> None:
        self.native = native
        self.pairs: list[tuple[Callable[..., None], Callable[[], None]]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            for before, _ in self.pairs:
                before(kwargs)
            return self.native(*args, **kwargs)
        finally:
            for _, after in self.pairs:
                after()
