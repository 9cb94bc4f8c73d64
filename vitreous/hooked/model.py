"""The part of TransformerLens' model API that every hooked model shares: hooks, contexts and caches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, no_type_check

import torch
from torch import Tensor, nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import LensHandle
from transformer_lens.utilities import Slice

from vitreous.errors import BadInputError, HookNotFiredError, unknown
from vitreous.hooked.cache import ActivationCache
from vitreous.hooked.family import second_name
from vitreous.hooked.keeper import Keeper
from vitreous.hooked.point import Point
from vitreous.hooked.weight import device_of
from vitreous.hooked.wiring import together

NamesFilter = str | Sequence[str] | Callable[[str], bool] | None
OPT_IN = ("*.hook_result", "*.hook_attn_in", "*.hook_?_input", "*.hook_mlp_in", "*.hook_deepstack")
"""Points that `names_filter=None` leaves out, as TransformerLens does: most are `n_heads` copies of the stream;
`hook_deepstack` fires only where there is an image. Ask for them by name, or for everything with `"*"`."""


class HookedModel(HookedRootModule):
    """A native model whose activations have TransformerLens' names.

    Subclasses fill `hook_dict` (name -> point, in execution order) and set `native`, `name` and `cfg`. Nothing is
    wired while no hook sits on a point. `model.native(...)` may be called inside `with model.hooks(...)`, too.
    """

    native: nn.Module
    cfg: Any

    def __init__(self) -> None:
        super().__init__()
        self.hook_dict: dict[str, Point] = {}  # type: ignore[assignment]
        self.mod_dict: dict[str, nn.Module] = {}
        self.hooked: set[Point] = set()  # filled by the points of a tower
        self._names: dict[Point, str] = {}

    def towers(self) -> dict[str, Any]:
        """Prefix of hook names -> the tower with those hooks."""
        raise NotImplementedError

    # --- names ---------------------------------------------------------------------------------------------------

    @no_type_check
    def points(self, pattern: str = "*") -> list[str]:
        """Names of the hook points that match a glob, in execution order, e.g. `"blocks.0.*"`."""
        return [name for name in self.hook_dict if fnmatchcase(name, pattern)]

    @no_type_check
    def resolve(self, name: str) -> str:
        """The canonical name of a point; understands second names such as `hook_post_head_pre_normalize`.

        Raises:
            UnknownNameError: with the nearest names.
        """
        if name in self.hook_dict:
            return name
        other = second_name(name)
        if other in self.hook_dict:
            return other
        raise unknown("hook point", name, self.hook_dict, hint=f"`model.points()` lists those of {self.name or 'it'}")

    @no_type_check
    def select(self, names_filter: NamesFilter) -> list[str]:
        """The points that a filter means: a name or glob, a list of those, a function of the name, None for the usual.

        Raises:
            UnknownNameError: for a name or glob that matches nothing.
        """
        if isinstance(names_filter, str) and names_filter in self.hook_dict:
            return [names_filter]
        if names_filter is None:
            return [name for name in self.hook_dict if not any(fnmatchcase(name, glob) for glob in OPT_IN)]
        if callable(names_filter):
            return [name for name in self.hook_dict if names_filter(name)]
        chosen: set[str] = set()
        for name in [names_filter] if isinstance(names_filter, str) else names_filter:
            matched = self.points(name) if any(c in name for c in "*?[") else [self.resolve(name)]
            if not matched:
                raise unknown("hook point pattern", name, self.hook_dict)
            chosen.update(matched)
        return [name for name in self.hook_dict if name in chosen]

    # --- hooks ---------------------------------------------------------------------------------------------------

    def check_and_add_hook(self, hook_point: Any, hook_point_name: str, hook: Any, **options: Any) -> None:
        """Adds a hook that sees the point under the name it has in this model (see TransformerLens)."""
        self._place(hook_point_name, hook, **options)

    def add_hook(self, name: Any, hook: Any, *args: Any, **options: Any) -> None:
        """Adds a hook that stays until `reset_hooks`; `name` is a name, a glob or a function of the name.

        Raises:
            UnknownNameError: for a name that does not exist.
        """
        for options_name, value in zip(("dir", "is_permanent", "level", "prepend"), args, strict=False):
            options[options_name] = value
        for each in self.select(name):
            self._place(each, hook, **options)

    @no_type_check
    def _place(self, name: str, hook: Any, **options: Any) -> tuple[Point, LensHandle]:
        point = self.hook_dict[name]
        alias = None if point.name == name else [name]
        return point, point.add_hook(hook, alias_names=alias, **options)

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[tuple[Any, Callable[..., Any]]] = (),
        bwd_hooks: Sequence[tuple[Any, Callable[..., Any]]] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator["HookedModel"]:
        """Hooks for the time of a `with` block; on leaving, exactly these are removed, and no others.

        Args:
            fwd_hooks: (name, function) pairs; a name may be a glob or a function of the name. The function gets
                `(activation, hook=point)` and returns the new activation, or None to keep it.
            bwd_hooks: the same for gradients.
            reset_hooks_end: remove them at the end.
            clear_contexts: empty every point's `ctx` at the end.

        Raises:
            HookNotFiredError: if the model ran in the block and one of the points was never reached.
        """
        placed: list[tuple[str, Point, LensHandle]] = []
        self.context_level += 1
        ran: set[str] = set()
        counters = [
            tower.tower.register_forward_hook(lambda *_, prefix=prefix: ran.add(prefix))
            for prefix, tower in self.towers().items()
        ]
        try:
            with together():
                for direction, pairs in (("fwd", fwd_hooks), ("bwd", bwd_hooks)):
                    for name, hook in pairs:
                        for each in self.select(name):
                            point, handle = self._place(each, hook, dir=direction, level=self.context_level)
                            placed.append((each, point, handle))
            fired = {name: point.n_fired for name, point, _ in placed}
            yield self
            prefixes = self.towers()
            self._demand_fired({n: c for n, c in fired.items() if any(n.startswith(p) for p in prefixes if p in ran)})
        finally:
            for counter in counters:
                counter.remove()
            if reset_hooks_end:
                with together():
                    for _, point, handle in placed:
                        point.drop(handle)
                if clear_contexts:
                    self.clear_contexts()
            self.context_level -= 1

    @no_type_check
    def _fired(self) -> dict[str, int]:
        """How often each point with hooks has fired so far."""
        if len(self._names) != len(self.hook_dict):
            self._names.update((point, name) for name, point in self.hook_dict.items())
        hooked = [point for tower in self.towers().values() for point in tower.hooked]
        return {self._names[point]: point.n_fired for point in hooked}

    @no_type_check
    def _demand_fired(self, fired: dict[str, int]) -> None:
        """Raises unless every point has fired since its count was taken."""
        silent = [name for name, count in fired.items() if self.hook_dict[name].n_fired == count]
        if silent:
            shown = ", ".join(silent[:8]) + (f", ... ({len(silent)} in all)" if len(silent) > 8 else "")
            raise HookNotFiredError(
                f"hooked, but never reached in the forward pass of {self.name or type(self.native).__name__}: {shown}. "
                "The native model took a path without them; `vitreous.hooked.check.check_family` shows which."
            )

    def run_with_hooks(
        self,
        *model_args: Any,
        fwd_hooks: Sequence[tuple[Any, Callable[..., Any]]] = (),
        bwd_hooks: Sequence[tuple[Any, Callable[..., Any]]] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        **model_kwargs: Any,
    ) -> Any:
        """One forward with temporary hooks; returns the native output (see `hooks`)."""
        with self.hooks(fwd_hooks, bwd_hooks, reset_hooks_end, clear_contexts):
            return self(*model_args, **model_kwargs)

    # --- caches --------------------------------------------------------------------------------------------------

    def run_with_cache(
        self,
        *model_args: Any,
        names_filter: NamesFilter = None,
        device: str | torch.device | None = None,
        remove_batch_dim: bool = False,
        incl_bwd: bool = False,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: Any = None,
        return_cache_object: bool = True,
        **model_kwargs: Any,
    ) -> tuple[Any, Any]:
        """One forward whose activations are kept.

        Args:
            *model_args: inputs of the model.
            names_filter: a name or glob, a list of those, a function of the name, or None for all but `OPT_IN`.
            device: where to keep them; each is moved as it appears.
            remove_batch_dim: drop the batch axis (batches of one only).
            incl_bwd: also run `backward` on the output, which must be a scalar, and keep gradients as `NAME_grad`.
            reset_hooks_end: remove the caching hooks at the end.
            clear_contexts: empty every point's `ctx` at the end.
            pos_slice: positions to keep, as in TransformerLens.
            return_cache_object: an `ActivationCache` instead of a plain dict.
            **model_kwargs: more inputs, e.g. `stop_at_layer=k`: blocks 0..k-1 run, and the first return value is the
                residual stream there.

        Returns:
            the native output (or the stream where it stopped), and the cache in execution order. Entries are detached
            and never change under later edits; they may share memory with one another.
        """
        cache, fwd, bwd = self.get_caching_hooks(
            names_filter, incl_bwd, device, remove_batch_dim=remove_batch_dim, pos_slice=pos_slice
        )
        with self.hooks(fwd, bwd, reset_hooks_end, clear_contexts):
            out = self(*model_args, **model_kwargs)
            if incl_bwd:
                out.backward()
        ends = ("", "_grad")
        ordered = {name + end: cache[name + end] for name in self.hook_dict for end in ends if name + end in cache}
        if not return_cache_object:
            return out, ordered
        return out, ActivationCache(ordered, self, has_batch_dim=not remove_batch_dim)

    def get_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: Any = None,
        remove_batch_dim: bool = False,
        cache: dict[str, Tensor] | None = None,
        pos_slice: Any = None,
    ) -> tuple[dict[str, Tensor], list[Any], list[Any]]:
        """The cache to be filled and the hooks that fill it (see TransformerLens)."""
        cache = {} if cache is None else cache
        copy = bool(self._fired())  # another hook might edit in place
        keep = Keeper(cache, device, copy, remove_batch_dim, Slice.unwrap(pos_slice))
        chosen = self.select(names_filter)
        if not chosen:
            raise BadInputError("names_filter matches no hook point; `model.points()` lists them")
        fwd = [(name, partial(keep, name=name)) for name in chosen]
        bwd = [(name, partial(keep, name=f"{name}_grad")) for name in chosen] if incl_bwd else []
        return cache, fwd, bwd

    def add_caching_hooks(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Adds caching hooks that stay until `reset_hooks`; returns the dict that each forward fills."""
        cache, fwd, bwd = self.get_caching_hooks(*args, **kwargs)
        for name, hook in fwd:
            self._place(name, hook, dir="fwd")
        for name, hook in bwd:
            self._place(name, hook, dir="bwd")
        return cache

    # --- the module ----------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the native model computes: of several devices, the one of the first module."""
        return device_of(self.native)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the native weights."""
        return next(p.dtype for p in self.native.parameters() if p.is_floating_point())

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Moves the native model, or refuses to as the native model does (dispatched, quantised)."""
        self.native.to(*args, **kwargs)
        return self

    def _placed(self, value: Any) -> Any:
        """An input on the model's device; numbers, other than ids, in the type of its weights."""
        if not isinstance(value, Tensor):
            return value
        return value.to(self.device, self.dtype) if value.is_floating_point() else value.to(self.device)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The native model's state dict, key for key."""
        return self.native.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Loads into the native model."""
        return self.native.load_state_dict(*args, **kwargs)
