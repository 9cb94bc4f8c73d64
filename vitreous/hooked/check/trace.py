"""Promise 4: a run ends where it is told to, caches stand, copies are separate, and nothing is left behind."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, no_type_check

import torch
from torch import nn

from vitreous.hooked.check.subject import Subject, distance, disturb

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")


@no_type_check
def snapshot(native: nn.Module) -> dict[str, Any]:
    """Everything about a native model that a wrapper might leave changed."""
    return {
        "attributes": {n: tuple(sorted(vars(m))) for n, m in native.named_modules()},
        "hooks": {n: tuple(len(getattr(m, h)) for h in _HOOKS) for n, m in native.named_modules()},
        "mode": {n: m.training for n, m in native.named_modules()},
        "attention": {
            n: getattr(getattr(m, "config", None), "_attn_implementation_internal", None)
            for n, m in native.named_modules()
        },
        "weights": {k: (v.dtype, v.detach().clone()) for k, v in native.state_dict().items()},
        "grads": {n: p.grad is None for n, p in native.named_parameters()},
    }


@no_type_check
def assert_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Asserts that two snapshots agree."""
    for part in before:
        if part == "weights":
            assert before[part].keys() == after[part].keys(), "state_dict keys changed"
            for key, (dtype, value) in before[part].items():
                assert after[part][key][0] == dtype, f"dtype of {key} changed"
                assert torch.equal(after[part][key][1], value), f"{key} changed"
            continue
        changed = [n for n, value in before[part].items() if after[part].get(n) != value]
        assert not changed, f"{part} left behind in {changed[:4]}"
        assert before[part].keys() == after[part].keys(), f"modules came or went: {part}"


@no_type_check
def stop_at_layer(case: Subject) -> None:
    """The stream before layer k, no later point fired, no matter what is hooked."""
    model, full = case.model, case.cache(names=None)
    n, layers = model.cfg.n_layers, case.main
    for k in range(n + 1):
        want = full[f"{layers[k].prefix}hook_resid_pre"] if k < n else full[layers[-1].leaves]
        with torch.no_grad():
            plain = case.call(stop_at_layer=k)
            got, cache = model.run_with_cache(case.inputs, stop_at_layer=k, **case.options)
        assert distance(case.seen([plain]), case.seen([want])) <= case.atol, f"stop_at_layer={k} returns another stream"
        assert torch.equal(got, want), f"stop_at_layer={k} with a cache returns another stream"
        late = [name for name in cache.keys() if not model._before(name, k)]  # noqa: SIM118
        assert not late, f"stop_at_layer={k} still reached {late[:4]}"
        missing = [name for name in full.keys() if model._before(name, k) and name not in cache.keys()]  # noqa: SIM118
        assert not missing, f"stop_at_layer={k} did not reach {missing[:4]}"


@no_type_check
def caches_stand(case: Subject) -> None:
    """Edits in place, made after an activation was cached, do not change it; and a cache holds its own bytes only."""
    names = case.model.points()
    before = case.cache()
    for name, value in before.items():
        bytes_held = value.untyped_storage().nbytes()
        assert bytes_held <= value.nbytes + 64, f"{name} holds {bytes_held} bytes for {value.nbytes}"
    target = f"{case.main[-1].prefix}hook_resid_pre"

    def zero(t: torch.Tensor) -> None:
        t.zero_()

    cache = case.cache(hooks={target: zero})
    for name in names[: names.index(target)]:
        moved = torch.where(
            cache[name] == before[name], 0.0, (cache[name] - before[name]).abs()
        )  # -inf is a score, too
        assert moved.max() <= case.atol, f"{name} was changed by a later edit in place"


@no_type_check
def copies(case: Subject) -> None:
    """A deep copy carries the hooks on points of its own; the original's stay with the original."""
    name = case.main[-1].leaves
    edit = disturb(name)
    case.model.add_hook(name, lambda t, hook: edit(t))
    try:
        twin = copy.deepcopy(case.model)
        edited = case.run()
    finally:
        case.model.reset_hooks()
    assert twin.native is not case.model.native
    other = replace(case, model=twin)
    assert distance(other.run(), edited) == 0, "the copy lost its hook"
    assert distance(case.run(), case.clean) == 0, "the copy's hook acts on the original"
    twin.reset_hooks()
    assert distance(other.run(), case.clean) == 0, "the copy's hook stays after reset"


class _Trouble(Exception):
    pass


@no_type_check
def nothing_left(case: Subject) -> None:
    """After an exception in any hook, and after every other check, the native model is as it was."""

    def fail(tensor: Any, hook: Any) -> None:
        raise _Trouble

    before = snapshot(case.model.native)
    for name in case.sample(0):
        try:
            with torch.no_grad():
                case.model.run_with_hooks(
                    case.inputs, fwd_hooks=[("*", lambda t, hook: None), (name, fail)], **case.options
                )
        except _Trouble:
            pass
        else:
            raise AssertionError(f"the exception of a hook on {name} was swallowed")
    assert_same(before, snapshot(case.model.native))
    assert not any(point.active for point in case.model.hook_dict.values())
    assert not any(wire.undo for tower in case.model.towers().values() for wire in tower.wires)
    assert distance(case.run(), case.clean) == 0
