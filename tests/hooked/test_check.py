"""The contract must be able to fail: each defect that other tools have is planted, and the check must name it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.hooked.test_model import tiny
from vitreous.hooked import attach, attention, stream
from vitreous.hooked import check as contract
from vitreous.hooked.point import Point

Plant = Callable[[pytest.MonkeyPatch], None]


def skip_path_missed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stream.Stream, "_leave", lambda s, x: s.points["hook_resid_post"](x))


def norm_edits_ignored(patch: pytest.MonkeyPatch) -> None:
    def look_only(module: nn.Module, points: Any, *_: Any) -> Any:
        def edit(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
            for point in points.values():
                point(attach.norm_scale(module, x) if point.name.endswith("scale") else out)
            return out

        return [attach.on_both(module, edit)]

    patch.setattr(attach, "attach_norm", look_only)


def scores_after_softmax(patch: pytest.MonkeyPatch) -> None:
    native = attention._show

    def show(points: Any, name: str, value: torch.Tensor) -> torch.Tensor:
        if name == "hook_attn_scores" and name in points:
            points[name](value.softmax(-1))
            return value
        return native(points, name, value)

    patch.setattr(attention, "_show", show)


def no_mask(patch: pytest.MonkeyPatch) -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    patch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, "vitreous_sdpa", lambda **kwargs: None)


def fires_twice(patch: pytest.MonkeyPatch) -> None:
    native = attach.on_input
    patch.setattr(attach, "on_input", lambda module, edit: native(module, lambda x: edit(edit(x))))


def result_forgets_the_edit(patch: pytest.MonkeyPatch) -> None:
    native = attach.per_head
    patch.setattr(attach, "per_head", lambda point, z, out, *rest: (native(point, z, out, *rest), out)[1])


def attention_stays_switched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attention.Switch, "_release", lambda switch: None)


def gradient_cut(patch: pytest.MonkeyPatch) -> None:
    native = Point.forward
    patch.setattr(Point, "forward", lambda point, x: native(point, x).detach() + 0 * x)


DEFECTS: dict[str, tuple[Plant, str, str]] = {
    "the middle misses the skip path": (skip_path_missed, "vision", "edits of sums reach the skip path"),
    "norm edits are ignored": (norm_edits_ignored, "vision", "every edit matters"),
    "scores are post-softmax": (scores_after_softmax, "vision", "attention adds up"),
    "there is no mask": (no_mask, "text", "parity with every point hooked"),
    "a point fires twice": (fires_twice, "vision", "every point fires once"),
    "edits of results are dropped": (result_forgets_the_edit, "vision", "results are the heads' terms"),
    "attention is not put back": (attention_stays_switched, "vision", "parity with every point hooked"),
    "gradients are cut": (gradient_cut, "vision", "gradients reach each point"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_contract_notices(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, kind, caught_by = DEFECTS[defect]
    case = tiny("CLIPTextModel" if kind == "text" else "ViTForImageClassification", kind)
    keep = ("parity with every point hooked", "every point fires once", caught_by)
    monkeypatch.setattr(contract, "CHECKS", {n: c for n, c in contract.CHECKS.items() if n in keep})
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=caught_by):
        contract.check_family(case.native(), case.inputs(), kind)


def test_an_inert_point_must_really_be_inert(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitreous.hooked.check import edit
    from vitreous.hooked.check.subject import Subject, subject

    case = tiny("ViTForImageClassification")
    monkeypatch.setattr(Subject, "inert", lambda self, name: name == "head.hook_out")
    with pytest.raises(AssertionError, match=r"head\.hook_out is declared inert"):
        edit.every_edit_matters(subject(case.native(), case.inputs(), "vision", 2e-5))
