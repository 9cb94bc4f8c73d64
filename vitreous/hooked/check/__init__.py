"""The contract that every family keeps. Run it on a model of your own: `check_family(native, pixels)`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vitreous.hooked.check import edit, generating, gradient, parity, reading, trace
from vitreous.hooked.check.subject import Subject, subject

CHECKS: dict[str, Callable[[Subject], None]] = {
    "parity without hooks": parity.without_hooks,
    "parity with every point hooked": parity.with_every_hook,
    "only the hooked layer is explicit": parity.one_layer_explicit,
    "every point fires once": parity.fires_once,
    "each point alone changes nothing": parity.each_alone,
    "the stream adds up": edit.stream_adds_up,
    "attention adds up": edit.attention_adds_up,
    "every edit matters": edit.every_edit_matters,
    "edits of sums reach the skip path": edit.sums,
    "results are the heads' terms": edit.results,
    "pattern and scores are what softmax makes": edit.patterns,
    "norm scales divide": edit.norm_scales,
    "split inputs": edit.split_inputs,
    "norms are gain and bias": reading.norms,
    "logits are read off the stream": reading.logits,
    "gradients reach each point": gradient.reaches,
    "hooks leave gradients alone": gradient.undisturbed,
    "generation with a KV cache": generating.with_a_kv_cache,
    "stop_at_layer": trace.stop_at_layer,
    "caches do not change later": trace.caches_stand,
    "copies have their own hooks": trace.copies,
    "nothing is left behind": trace.nothing_left,
}


@dataclass(frozen=True)
class Report:
    """What was checked.

    Attributes:
        model: native class.
        points: number of hook points.
        checks: names of the checks that passed.
    """

    model: str
    points: int
    checks: tuple[str, ...]


def check_family(
    native: nn.Module, inputs: Any, kind: str = "vision", atol: float | None = None, family: Any = None
) -> Report:
    """Holds a native model of a supported class to the four promises: parity, firing, true edits, no traces.

    Args:
        native: the model, in evaluation mode, in float32 (or bfloat16, where gradients are not measured); best a tiny
            one whose weights have a standard deviation of about 0.2 (with the usual 0.02 a wrong mask or norm hardly
            moves the output).
        inputs: pixels, or token ids (a dict with an attention mask, if the model takes one).
        kind: "vision" or "text": which tower; "vlm" for a vision-language model.
        atol: largest absolute difference from the native fused attention; when None 2e-5 in float32, and 16 epsilons
            of a less precise type, times the largest output.
        family: a `Family` (or `VLMFamily`) that need not be listed; the listed one of the native class when None.

    Raises:
        AssertionError: naming the promise and the hook point that breaks it.
    """
    case = subject(native, inputs, kind, atol, family)
    before = trace.snapshot(native)
    for name, check in CHECKS.items():
        torch.manual_seed(0)
        try:
            check(case)
            trace.assert_same(before, trace.snapshot(native))
        except AssertionError as error:
            raise AssertionError(f"{type(native).__name__} ({kind}): {name}: {error}") from error
    return Report(type(native).__name__, len(case.model.hook_dict), tuple(CHECKS))
