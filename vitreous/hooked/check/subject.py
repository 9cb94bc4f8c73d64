"""What a check works on, and how it compares outputs."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, no_type_check

import torch
from torch import Tensor, nn

from vitreous.hooked.family import applicable
from vitreous.hooked.site import Attention, Norm, ResidMid
from vitreous.hooked.text import HookedTextEncoder
from vitreous.hooked.tower import HookedTower
from vitreous.hooked.vit import HookedViT
from vitreous.hooked.vlm import HookedVLM


@dataclass(frozen=True)
class Layer:
    """One layer of one tower; as a string, what the names of its points begin with.

    Attributes:
        tower: the tower.
        prefix: what the names of the tower's points begin with: empty, or e.g. `vision.`
        index: number of the layer in the tower.
    """

    tower: HookedTower
    prefix: str
    index: int

    def __str__(self) -> str:
        return f"{self.prefix}blocks.{self.index}."

    @property
    def leaves(self) -> str:
        """The layer's output."""
        return f"{self}{list(self.tower.family.block)[-1]}"


@dataclass(frozen=True)
class Subject:
    """A wrapped model with an input.

    Attributes:
        model: the wrapper.
        inputs: what it is called with.
        atol: largest difference allowed between fused and explicit attention.
        clean: the native output, without any wrapper.
        options: keyword arguments of every call.
    """

    model: Any
    inputs: Any
    atol: float
    clean: list[Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)

    def call(self, **more: Any) -> Any:
        """One forward of the wrapper."""
        return self.model(self.inputs, **self.options, **more)

    def run(self, hooks: Mapping[str, Callable[..., Any]] | None = None) -> list[Tensor]:
        """The outputs under hooks (name -> function of the activation)."""
        pairs = [(name, _as_hook(f)) for name, f in (hooks or {}).items()]
        with torch.no_grad():
            return self.seen(tensors(self.model.run_with_hooks(self.inputs, fwd_hooks=pairs, **self.options)))

    def seen(self, out: list[Tensor]) -> list[Tensor]:
        """Without padding on the left: those positions attend to nothing, and what fused attention makes there differs."""
        mask = self.inputs.get("attention_mask") if isinstance(self.inputs, Mapping) else None
        if mask is None or mask[:, 0].all():
            return out
        return [t[mask.bool()] if t.shape[:2] == mask.shape else t for t in out]

    def cache(self, names: Any = "*", hooks: Mapping[str, Callable[..., Any]] | None = None) -> Any:
        """Activations, optionally under hooks."""
        pairs = [(name, _as_hook(f)) for name, f in (hooks or {}).items()]
        with torch.no_grad(), self.model.hooks(fwd_hooks=pairs):
            return self.model.run_with_cache(self.inputs, names_filter=names, **self.options)[1]

    # --- where things are ----------------------------------------------------------------------------------------

    def layers(self) -> list[Layer]:
        """Every layer of every tower."""
        towers = self.model.towers().items()
        return [Layer(tower, prefix, i) for prefix, tower in towers for i in range(len(tower.layers))]

    @property
    def main(self) -> Layer:
        """The last layer of the tower that `stop_at_layer` counts: the only one, or the language model."""
        return self.layers()[-1]

    def early(self, name: str) -> bool:
        """Whether a point lies in a layer other than the last of its tower: the costly checks leave those out."""
        return any(name.startswith(str(layer)) and layer.index < len(layer.tower.layers) - 1 for layer in self.layers())

    def sums(self, layer: Layer) -> list[tuple[str, ...]]:
        """What adds up in a layer, in full names."""
        return applicable(layer.tower.family.sums, str(layer), self.model.hook_dict)

    def attentions(self) -> list[tuple[Layer, str, Attention]]:
        """(layer, key, site) of every attention in every layer."""
        return [
            (layer, key, site)
            for layer in self.layers()
            for key, site in layer.tower.family.block.items()
            if isinstance(site, Attention) and f"{layer}{key}.hook_z" in self.model.hook_dict
        ]

    def follows(self, layer: Layer) -> bool:
        """Whether a layer starts with what the one before it ended with."""
        return layer.index > 0

    def readers(self, layer: Layer, name: str) -> list[str]:
        """Keys of the norms that read a point of a layer's stream (the middle)."""
        block = layer.tower.family.block
        mid = block.get(name.removeprefix(str(layer)))
        if not isinstance(mid, ResidMid):
            return []
        return [k for k, s in block.items() if isinstance(s, Norm) and s.path == mid.norm]

    def inert(self, name: str) -> bool:
        """Whether the family declares that the point cannot change the output."""
        return any(fnmatchcase(name, glob) for glob in self.model.inert)

    def intercepted(self, name: str) -> bool:
        """Whether the point belongs to attention that is intercepted rather than routed: no eager twin exists."""
        modes = []
        for prefix, tower in self.model.towers().items():
            tables = {**tower.family.head, **tower.entry.head}
            tables |= {f"blocks.*.{key}": site for key, site in tower.family.block.items()}
            modes += [prefix + k for k, s in tables.items() if isinstance(s, Attention) and s.route == "mode"]
        return any(fnmatchcase(name, f"{key}.*") for key in modes)


WRAPPERS: dict[str, Any] = {"vision": HookedViT, "text": HookedTextEncoder, "vlm": HookedVLM}


@no_type_check
def subject(native: nn.Module, inputs: Any, kind: str, atol: float) -> Subject:
    """Wraps a native model for checking."""
    model = WRAPPERS[kind].from_native(native)
    options = {"use_cache": False} if kind == "vlm" else {}
    with torch.no_grad():
        clean = tensors(model.native_call()(**model._inputs(inputs), **options))
    case = Subject(model, inputs, atol, [], options)
    return replace(case, clean=case.seen(clean))


@no_type_check
def _as_hook(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda tensor, hook: f(tensor)


@no_type_check
def tensors(out: Any) -> list[Tensor]:
    """Every floating-point tensor in a native output."""
    if isinstance(out, Tensor):
        return [out] if out.is_floating_point() else []
    values = out.values() if isinstance(out, Mapping) else out if isinstance(out, list | tuple) else ()
    return [t for value in values for t in tensors(value)]


@no_type_check
def distance(a: list[Tensor], b: list[Tensor]) -> float:
    """Largest absolute difference between two outputs."""
    assert len(a) == len(b), f"outputs have {len(a)} and {len(b)} tensors"
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True) if x.numel())


@no_type_check
def close(a: Tensor, b: Tensor, what: str, rtol: float = 2e-4) -> None:
    """Asserts equality up to rounding, relative to the size of the values."""
    a, b = a.detach(), b.detach()
    if not b.numel():
        return
    worst = float((a - b).abs().max())
    scale = max(1.0, float(b[b.abs() < 1e30].abs().max()))
    assert worst <= rtol * scale, f"{what}: off by {worst:.2g} (values up to {scale:.2g})"


@no_type_check
def same(a: list[Tensor], b: list[Tensor], what: str, rtol: float = 2e-4) -> None:
    """Asserts that two outputs agree up to rounding."""
    for x, y in zip(a, b, strict=True):
        close(x, y, what, rtol)


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
    from vitreous.hooked.attention import _configs

    saved = [(config, config._attn_implementation_internal) for config in _configs(model.native)]
    for config, _ in saved:
        config._attn_implementation_internal = "eager"
    try:
        yield
    finally:
        for config, name in saved:
            config._attn_implementation_internal = name
