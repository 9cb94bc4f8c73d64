"""Promises 1 and 2: the output is the native output, and every point fires exactly once."""

from collections import Counter
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vitreous.hooked.check.subject import Layer, Subject, distance, eager
from vitreous.hooked.model import _BY_HEAD
from vitreous.hooked.vit import HookedViT


@no_type_check
def without_hooks(case: Subject) -> None:
    """The wrapper's output is the native output, bit for bit."""
    assert distance(case.run(), case.clean) == 0


@no_type_check
def with_every_hook(case: Subject) -> None:
    """Everything hooked: bit-equal to eager attention, close to fused attention."""
    model = case.model
    seen = {name: lambda t: None for name in model.points()}
    worst = distance(case.run(seen), case.clean)
    assert worst <= case.atol, f"{worst:.2g} from the native output"
    with eager(model):
        routed = {name: f for name, f in seen.items() if not case.intercepted(name)}
        plain = case.run()
    assert distance(case.run(routed), plain) == 0, "differs from eager attention"


@no_type_check
def one_layer_explicit(case: Subject) -> None:
    """A hook on one layer's pattern leaves fused attention in all the others."""
    counter = _Fused()
    with counter:
        case.run()
    native = counter.n
    for layer, key, site in case.attentions():
        if site.route != "interface":
            continue
        counter.n = 0
        with counter:
            case.run({f"{layer}{key}.hook_pattern": lambda t: None})
        assert native - counter.n == 1, f"a hook in {layer} made {native - counter.n} layers explicit"


@no_type_check
class _Fused(TorchFunctionMode):
    """Counts calls of fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += func is F.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


@no_type_check
def fires_once(case: Subject) -> None:
    """One firing per point and forward, in the order of `points()`, with the axes that the names promise."""
    model, fired = case.model, Counter()
    case.run({name: lambda t, name=name: fired.update([name]) for name in model.points()})
    wrong = {name: fired[name] for name in model.points() if fired[name] != 1}
    assert not wrong, f"firings other than one: {wrong}"
    cache = case.cache()
    assert list(cache.keys()) == model.points(), "the cache is not in the order of points()"
    for layer in case.layers():
        own = {name.removeprefix(str(layer)): t for name, t in cache.items() if name.startswith(str(layer))}
        _axes(layer, own)
    for prefix, tower in model.towers().items():
        if isinstance(tower, HookedViT) and tower is model:
            n = cache[f"{prefix}blocks.0.hook_resid_pre"].shape[1]
            assert tower.tokens.n == n == tower.cfg.n_ctx, f"{tower.tokens.n} positions in the token map, {n} in all"


@no_type_check
def _axes(layer: Layer, values: dict[str, Tensor]) -> None:
    """The points of a layer have the axes that their names promise."""
    cfg = layer.tower.cfg
    for name, value in values.items():
        end = name.rpartition(".")[2]
        if end in ("hook_attn_scores", "hook_pattern"):
            assert value.shape[1:2] == (cfg.n_heads,), f"{layer}{name} is {tuple(value.shape)}"
        elif any(end.endswith(e) for e in _BY_HEAD):
            wide = end in ("hook_q", "hook_k", "hook_v", "hook_z")
            assert value.shape[-1] == (cfg.d_head if wide else cfg.d_model), f"{layer}{name} is {tuple(value.shape)}"
        else:
            last = {"hook_scale": 1, "hook_pre": cfg.d_mlp, "hook_post": cfg.d_mlp, "hook_pre_linear": cfg.d_mlp}
            assert value.shape[-1] == last.get(end, cfg.d_model), f"{layer}{name} is {tuple(value.shape)}"


@no_type_check
def each_alone(case: Subject) -> None:
    """A hook that only looks leaves the output as it is: exactly, unless attention had to be made explicit."""
    explicit = ("hook_attn_scores", "hook_pattern")
    for name in case.model.points():
        if case.early(name):
            continue
        fired = Counter()
        with torch.no_grad():
            worst = distance(case.run({name: lambda t, f=fired: f.update("x")}), case.clean)
        allowed = case.atol if name.endswith(explicit) or case.intercepted(name) else 0.0
        assert worst <= allowed, f"looking at {name} moves the output by {worst:.2g}"
        assert fired["x"] == 1, f"{name} alone fired {fired['x']} times"
