"""Generation: hooks leave the tokens as they are, every point of the language model fires once per step."""

from collections import Counter
from contextlib import nullcontext
from typing import Any, no_type_check

import torch

from vitreous.hooked.check.subject import Subject, eager
from vitreous.hooked.vlm import HookedVLM

N_STEPS = 3


@no_type_check
def with_a_kv_cache(case: Subject) -> None:
    """The native tokens with everything hooked; one firing per point and step, elsewhere one in all.

    In bfloat16 against eager attention, which hooked attention equals: fused attention may decide a tie otherwise.
    """
    if isinstance(case.model, HookedVLM):
        with nullcontext() if case.precise else eager(case.model):
            _generate(case, case.model)


@no_type_check
def _generate(case: Subject, model: HookedVLM) -> None:
    inputs = model._inputs(case.inputs)
    options: dict[str, Any] = {"max_new_tokens": N_STEPS, "min_new_tokens": N_STEPS, "do_sample": False}
    with torch.no_grad():
        native = model.native.generate(**inputs, **options)
    fired: Counter[tuple[str, int]] = Counter()

    def count(tensor: torch.Tensor, hook: Any, name: str) -> None:
        fired[name, hook.step] += 1

    hooks = [(name, lambda t, hook, name=name: count(t, hook, name)) for name in model.points()]
    hooked = model.generate(case.inputs, fwd_hooks=hooks, **options)
    assert torch.equal(hooked, native), f"hooks change the tokens: {hooked.tolist()} instead of {native.tolist()}"
    for name in model.points():
        steps = [fired[name, t] for t in range(N_STEPS)]
        want = [1] * N_STEPS if name in model.decoding else [1] + [0] * (N_STEPS - 1)
        assert steps == want, f"{name} fired {steps} times in steps 0 to {N_STEPS - 1}, should be {want}"
    assert sum(fired.values()) == sum(n for (_, step), n in fired.items() if step < N_STEPS), "more steps than tokens"
