"""Gradients: they reach each point, they are right, and looking at points does not change those of the weights."""

import copy
import zlib
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, no_type_check

import torch
from torch import Tensor

from vitreous.hooked.check.subject import Subject, close, eager, tensors


@no_type_check
def _loss(case: Subject, out: object) -> Tensor:
    """A fixed random projection of every output tensor."""
    generator = torch.Generator().manual_seed(1)
    return torch.stack(
        [(t * torch.randn(t.shape, generator=generator).to(t)).sum() for t in case.seen(tensors(out))]
    ).sum()


@no_type_check
def reaches(case: Subject) -> None:
    """The gradient at each point predicts what a small step there does to the loss; in float64, so that it is small.

    In a type of less precision the gradient is only asked to arrive: a step that shows in it is not small.
    """
    if not case.precise:
        return _reaches(case)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # Kosmos-2 makes its mask in the default type
    try:
        _reaches(replace(case, model=copy.deepcopy(case.model).double()))
    finally:
        torch.set_default_dtype(usual)


@no_type_check
def _reaches(case: Subject) -> None:
    kept: dict[str, Tensor] = {}
    names = [n for n in case.model.points() if not case.inert(n)]
    with torch.enable_grad():
        hooks = [(n, lambda t, hook, n=n: kept.update({n: t})) for n in names]
        loss = _loss(case, case.model.run_with_hooks(case.inputs, fwd_hooks=hooks, **case.options))
        grads = torch.autograd.grad(loss, [kept[n] for n in names], allow_unused=True)
    measured_too = set(case.sample(-1)) if case.precise else set()  # one layer's worth of finite differences
    for name, grad in zip(names, grads, strict=True):
        assert grad is not None, f"{name} is off the path to the output"
        assert bool(grad.abs().max() > 0), f"no gradient reaches {name}"
        if name not in measured_too:
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        step = torch.randn(grad.shape, generator=generator).to(grad) * grad.abs().gt(0)
        step = step * kept[name].detach().ne(0)  # a vector of zeros that is normalised (padding, Swin v2) has no slope
        slope = float((grad * step).sum())
        eps = 1e-4
        with torch.no_grad():
            ends = [float(_loss(case, case.run({name: _move(step, s)}))) for s in (eps, -eps)]
        measured = (ends[0] - ends[1]) / (2 * eps)
        size = max(abs(slope), float(grad.norm()))
        assert abs(measured - slope) <= 0.05 * size + 0.02, f"{name}: slope {slope:.4g}, measured {measured:.4g}"


@no_type_check
def _move(step: Tensor, by: float) -> Any:
    return lambda t: t + by * step


@no_type_check
def undisturbed(case: Subject) -> None:
    """With forward and backward hooks on every point the weights' gradients are the native ones.

    In bfloat16 those of eager attention, which hooked attention equals: what fused attention rounds otherwise grows.
    """
    with nullcontext() if case.precise else eager(case.model):
        _undisturbed(case)


@no_type_check
def _undisturbed(case: Subject) -> None:
    model = case.model
    weights = [p for p in model.native.parameters() if p.requires_grad]
    counts: dict[str, int] = {}

    def gradients() -> list[Tensor | None]:
        _loss(case, case.call()).backward()
        found = [p.grad for p in weights]
        for p in weights:
            p.grad = None
        return found

    def count(tensor: Tensor, hook: object, name: str) -> None:
        counts[name] = counts.get(name, 0) + 1

    with torch.enable_grad():
        native = gradients()
        names = [n for n in model.points() if not case.inert(n)]
        both = [(n, lambda t, hook, n=n: count(t, hook, n)) for n in names]
        with model.hooks(fwd_hooks=[(n, lambda t, hook: None) for n in names], bwd_hooks=both):
            hooked = gradients()
    silent = [n for n in names if counts.get(n) != 1]
    assert not silent, f"backward hooks that did not fire once: {silent[:8]}"
    scale = max(float(g.abs().max()) for g in native if g is not None and g.numel())
    for a, b in zip(hooked, native, strict=True):
        assert (a is None) == (b is None), "a weight lost or gained its gradient"
        if a is not None and b is not None:
            close(a / scale, b / scale, "gradient of a weight", 1e-3)
