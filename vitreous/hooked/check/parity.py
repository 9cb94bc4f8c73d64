"""Promises 1 and 2: the output is the native output, and every point fires exactly once."""

from collections import Counter
from typing import Any, no_type_check

import torch

from vitreous.hooked.attach import n_heads
from vitreous.hooked.check.subject import Fused, Subject, distance, eager
from vitreous.hooked.keeper import BY_HEAD
from vitreous.hooked.place import Place
from vitreous.hooked.vit import HookedViT
from vitreous.hooked.wiring import find


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
    counter = Fused()
    with counter:
        case.run()
    native = counter.n
    for _, at, site in case.attentions():
        if site.route != "interface":
            continue
        config = getattr(case.model.get_submodule(at).native, "config", None)
        was_fused = getattr(config, "_attn_implementation", "") != "eager"  # Gemma 2 caps scores: never fused
        counter.n = 0
        with counter:
            case.run({f"{at}.hook_pattern": lambda t: None})
        assert native - counter.n == was_fused, f"a hook on {at} made {native - counter.n} layers explicit"


@no_type_check
def fires_once(case: Subject) -> None:
    """One firing per point and forward, in the order of `points()`, with the axes that the names promise."""
    model, fired = case.model, Counter()
    case.run({name: lambda t, name=name: fired.update([name]) for name in model.points()})
    wrong = {name: fired[name] for name in model.points() if fired[name] != 1}
    assert not wrong, f"firings other than one: {wrong}"
    cache = case.cache()
    assert list(cache.keys()) == model.points(), "the cache is not in the order of points()"
    for place in model.places:
        _axes(case, place, cache)
    if isinstance(model, HookedViT) and not model.family.packed:
        n = cache["resid_pre", 0].shape[1]
        assert model.tokens.n == n == model.cfg.n_ctx, f"the token map has {model.tokens.n} positions, the stream {n}"


@no_type_check
def _axes(case: Subject, place: Place, cache: Any) -> None:
    """The axes that the names of one layer's points promise."""
    widths = {cache[place.leaves].shape[-1], cache[f"{place.prefix}hook_resid_pre"].shape[-1]}
    down = find(case.model.native, place.native, getattr(place.block.get("mlp.hook_post"), "path", ""))
    d_mlp = getattr(down, "in_features", None)
    last = {"hook_scale": {1}} | {f"hook_{n}": {d_mlp} for n in ("pre", "pre_linear", "mid", "post")}
    inside: set[str] = set()
    for _, at, _ in (found for found in case.attentions() if found[0] is place):
        heads, d_head = n_heads(case.model.get_submodule(at).native), cache[f"{at}.hook_z"].shape[-1]
        for name in case.model.points(f"{at}.hook_*"):
            inside.add(name)
            end, shape = name.rpartition(".")[2], tuple(cache[name].shape)
            if end in ("hook_attn_scores", "hook_pattern"):
                assert shape[1:2] == (heads,), f"{name} is {shape}"
            elif end != "hook_out":
                assert shape[-1] in ({d_head} if end != "hook_result" else widths), f"{name} is {shape}"
                assert end in ("hook_k", "hook_v") or shape[-2] == heads, f"{name} is {shape}"
    for name in (n for n in case.own(place) if n not in inside):
        end, shape = name.rpartition(".")[2], tuple(cache[name].shape)
        usual = {d_mlp} if ".mlp.ln." in name else widths
        assert shape[-1] in last.get(end, usual), f"{name} is {shape}"
        assert len(shape) == 4 if any(end.endswith(e) for e in BY_HEAD) else len(shape) == 3, f"{name} is {shape}"


@no_type_check
def each_alone(case: Subject) -> None:
    """A hook that only looks leaves the output as it is: exactly, unless attention had to be made explicit."""
    explicit = ("hook_attn_scores", "hook_pattern")
    for name in case.sample(-1):
        fired = Counter()
        with torch.no_grad():
            worst = distance(case.run({name: lambda t, f=fired: f.update("x")}), case.clean)
        allowed = case.atol if name.endswith(explicit) or case.intercepted(name) else 0.0
        assert worst <= allowed, f"looking at {name} moves the output by {worst:.2g}"
        assert fired["x"] == 1, f"{name} alone fired {fired['x']} times"
