"""What a check works on, and how it compares outputs."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, no_type_check

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vitreous.hooked.family import applicable
from vitreous.hooked.fusion import HookedFusion
from vitreous.hooked.place import Place
from vitreous.hooked.site import Attention, Norm, ResidMid
from vitreous.hooked.text import HookedTextEncoder
from vitreous.hooked.tower import HookedTower
from vitreous.hooked.vit import HookedViT
from vitreous.hooked.vlm import HookedVLM

LOW = 1e-4
"""Types with a larger epsilon than this (float16, bfloat16) are compared in units of it, see `close`."""


@dataclass(frozen=True)
class Subject:
    """A wrapped model with an input.

    Attributes:
        model: the wrapper.
        inputs: what it is called with.
        atol: largest difference allowed between fused and explicit attention.
        clean: the native output, without any wrapper.
        fused: whether the native forward calls `F.scaled_dot_product_attention`.
        options: keyword arguments of every call.
    """

    model: Any
    inputs: Any
    atol: float
    clean: list[Tensor]
    fused: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def precise(self) -> bool:
        """Whether finite differences mean anything in the model's type."""
        return torch.finfo(self.model.dtype).eps < LOW

    def call(self, **more: Any) -> Any:
        """One forward of the wrapper."""
        return self.model(self.inputs, **self.options, **more)

    def run(self, hooks: Mapping[str, Callable[..., Any]] | None = None) -> list[Tensor]:
        """The outputs under hooks (name -> function of the activation)."""
        pairs = [(name, _as_hook(f)) for name, f in (hooks or {}).items()]
        with torch.no_grad():
            return self.seen(tensors(self.model.run_with_hooks(self.inputs, fwd_hooks=pairs, **self.options)))

    def seen(self, out: list[Tensor]) -> list[Tensor]:
        """Without padding on the left: it attends to nothing, and fused attention makes there what it likes."""
        mask = self.inputs.get("attention_mask") if isinstance(self.inputs, Mapping) else None
        if mask is None or mask[:, 0].all():
            return out
        return [t[mask.bool()] if t.shape[:2] == mask.shape else t for t in out]

    def cache(self, names: Any = "*", hooks: Mapping[str, Callable[..., Any]] | None = None) -> Any:
        """Activations, optionally under hooks."""
        pairs = [(name, _as_hook(f)) for name, f in (hooks or {}).items()]
        with torch.no_grad(), self.model.hooks(fwd_hooks=pairs):
            return self.model.run_with_cache(self.inputs, names_filter=names, **self.options)[1]

    @property
    def main(self) -> list[Place]:
        """The layers that `stop_at_layer` counts: the tower's own, or the language model's."""
        return (
            self.model.places[-self.model.cfg.n_layers :]
            if self.options
            else self.model.places[: self.model.cfg.n_layers]
        )

    def tower(self, name: str) -> HookedTower:
        """The tower that a point or layer belongs to."""
        return next(tower for prefix, tower in self.model.towers().items() if name.startswith(prefix))

    def sums(self, place: Place) -> list[tuple[str, ...]]:
        """What adds up in a layer, in full names."""
        return applicable(place.sums, place.prefix, self.model.hook_dict)

    def attentions(self) -> list[tuple[Place, str, Attention]]:
        """(layer, full name, site) of every attention in every layer."""
        found = [
            (place, place.prefix + key, site)
            for place in self.model.places
            for key, site in place.block.items()
            if isinstance(site, Attention)
        ]
        return [(place, at, site) for place, at, site in found if f"{at}.hook_z" in self.model.hook_dict]

    def sample(self, which: int) -> list[str]:
        """Points outside of layers, and those of one layer (0 or -1) of each stage and stack."""
        stages = [stage.places for stage in self.model.parts]
        left_out = {n for places in stages for p in places if p is not places[which] for n in self.own(p)}
        return [n for n in self.model.points() if n not in left_out]

    def own(self, place: Place) -> list[str]:
        """Points of one layer (of a stack without numbers not those of layers below its name)."""
        inner = tuple(p.prefix for p in self.model.places if p.prefix != place.prefix and place.prefix in p.prefix)
        return [n for n in self.model.points(f"{place.prefix}*") if not (inner and n.startswith(inner))]

    def readers(self, place: Place, name: str) -> list[str]:
        """Full names of the norms that read a point of the stream (a middle) as it is shown."""
        site = place.block.get(name.removeprefix(place.prefix))
        if not isinstance(site, ResidMid) or site.view:
            return []
        return [place.prefix + k for k, s in place.block.items() if isinstance(s, Norm) and s.path == site.norm]

    def read_by_heads(self, attention: str) -> str:
        """The point that an attention's output projection reads: z, or the norm behind it."""
        inner = f"{attention}.ln.hook_normalized"
        return inner if inner in self.model.hook_dict else f"{attention}.hook_z"

    def inert(self, name: str) -> bool:
        """Whether the family declares that the point cannot change the output."""
        return any(fnmatchcase(name, glob) for glob in self.model.inert)

    def intercepted(self, name: str) -> bool:
        """Whether the point belongs to attention that is intercepted rather than routed: no eager twin exists."""
        tables: dict[str, Any] = {}
        for prefix, tower in self.model.towers().items():
            tables |= {prefix + k: site for k, site in {**tower.family.head, **tower.entry.head}.items()}
        tables |= {p.prefix + key: site for p in self.model.places for key, site in p.block.items()}
        modes = {key: site.route for key, site in tables.items() if isinstance(site, Attention)}
        key, _, end = name.rpartition(".")
        square = end in ("hook_attn_scores", "hook_pattern")
        return modes.get(key) == "mode" or (modes.get(key) == "softmax" and square and self.fused)


WRAPPERS: dict[str, Any] = {"vision": HookedViT, "text": HookedTextEncoder, "fusion": HookedFusion, "vlm": HookedVLM}


@no_type_check
def subject(native: nn.Module, inputs: Any, kind: str, atol: float | None = None, family: Any = None) -> Subject:
    """Wraps a native model for checking; `atol` and `family` as in `check_family`."""
    model = WRAPPERS[kind].from_native(native) if family is None else WRAPPERS[kind](native, family)
    options = {"use_cache": False} if kind == "vlm" else {}
    with torch.no_grad():
        clean = tensors(model.native_call()(**model._inputs(inputs), **options))
    with torch.no_grad(), Fused() as counter:  # under a mode `nn.MultiheadAttention` leaves its own fused path
        model.native_call()(**model._inputs(inputs), **options)
    case = Subject(model, inputs, atol or 0.0, [], counter.n > 0, options)
    case = replace(case, clean=case.seen(clean))
    if atol is not None:
        return case
    size = max(1.0, *(float(t.abs().max()) for t in case.clean if t.numel()))
    return replace(case, atol=2e-5 if case.precise else 16 * torch.finfo(model.dtype).eps * size)


@no_type_check
class Fused(TorchFunctionMode):
    """Counts calls of fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += func is F.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


@no_type_check
def _as_hook(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda tensor, hook: f(tensor)


@no_type_check
def tensors(out: Any) -> list[Tensor]:
    """Every floating-point tensor in a native output, but for patterns, which fused attention does not return."""
    if isinstance(out, Tensor):
        return [out] if out.is_floating_point() else []
    if isinstance(out, Mapping):
        out = [value for key, value in out.items() if not key.endswith("attentions")]
    values = out if isinstance(out, list | tuple) else ()
    return [t for value in values for t in tensors(value)]


@no_type_check
def distance(a: list[Tensor], b: list[Tensor]) -> float:
    """Largest absolute difference between two outputs."""
    assert len(a) == len(b), f"outputs have {len(a)} and {len(b)} tensors"
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True) if x.numel())


@no_type_check
def close(a: Tensor, b: Tensor, what: str, rtol: float = 2e-4, ulps: float = 16, eps: float = 0.0) -> None:
    """Asserts equality up to rounding, relative to the size of the values.

    Args:
        a: one value.
        b: the other.
        what: named in the message.
        rtol: allowed in float32.
        ulps: allowed in a type of less precision, in units of its epsilon (2**-7 in bfloat16).
        eps: epsilon of the computation, where it was less precise than the values' type says.
    """
    eps = max(eps, torch.finfo(a.dtype).eps, torch.finfo(b.dtype).eps)
    rtol = ulps * eps if eps > LOW else rtol
    a, b = a.detach(), b.detach()
    if not b.numel():
        return
    worst = float((a - b).abs().max())
    scale = max(1.0, float(b[b.abs() < 1e30].abs().max()))
    assert worst <= rtol * scale, f"{what}: off by {worst:.2g} (values up to {scale:.2g})"


@no_type_check
def same(a: list[Tensor], b: list[Tensor], what: str, rtol: float = 2e-4, ulps: float = 16) -> None:
    """Asserts that two outputs agree up to rounding, see `close`; one bfloat16 tensor means that all came from it."""
    eps = max(torch.finfo(t.dtype).eps for t in a)
    for x, y in zip(a, b, strict=True):
        close(x, y, what, rtol, ulps, eps)


@no_type_check
def disturb(name: str, strength: float = 0.5) -> Callable[[Tensor], Tensor]:
    """An edit that softmax and norms cannot undo: fixed noise, different for every entry."""

    def edit(value: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        noise = torch.randn(value.shape, generator=generator).to(value)
        if name.endswith("hook_scale"):
            return value * (1 + strength * noise.abs())
        spread = value[value.abs() < 1e30].std() if value.numel() > 1 else value.new_ones(())
        return value + strength * noise * (spread + 0.1)

    return edit


@no_type_check
@contextmanager
def eager(model: Any) -> Iterator[None]:
    """The native model with transformers' eager attention."""
    saved = [(config, config._attn_implementation_internal) for config in model.switch.configs()]
    for config, _ in saved:
        config._attn_implementation_internal = "eager"
    try:
        yield
    finally:
        for config, name in saved:
            config._attn_implementation_internal = name
