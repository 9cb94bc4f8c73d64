"""The contract, over every family and every native class that a family lists."""

import pytest

from tests.tiny import TINY, Tiny
from tests.tiny_reader import READER_TINY
from tests.tiny_vlm import VLM_TINY
from vitreous.hooked import FAMILIES, VLM_FAMILIES, HookedVLM
from vitreous.hooked.check import CHECKS, check_family

ALL = TINY + VLM_TINY + READER_TINY


@pytest.mark.parametrize("tiny", ALL, ids=lambda t: t.id)
def test_family(tiny: Tiny) -> None:
    report = check_family(tiny.native(), tiny.inputs(), tiny.kind)
    assert report.checks == tuple(CHECKS)


@pytest.mark.parametrize("tiny", ALL, ids=lambda t: t.id)
def test_family_in_bfloat16(tiny: Tiny) -> None:
    """Parity is as exact as in float32; sums and equal edits agree within a few epsilons of the largest value."""
    report = check_family(tiny.native().bfloat16(), tiny.inputs(), tiny.kind)
    assert report.checks == tuple(CHECKS)


def test_every_class_of_every_family_is_checked() -> None:
    listed = {(family.kind, name) for family in FAMILIES for name in family.classes if "." not in name}
    listed |= {("vlm", name) for family in VLM_FAMILIES for name in family.classes}
    checked = {(tiny.kind, tiny.cls) for tiny in ALL}
    for tiny in ALL:
        if tiny.kind == "vlm":
            towers = HookedVLM.from_native(tiny.native()).towers().values()
            checked |= {(tower.family.kind, type(tower.native).__name__) for tower in towers}
    assert listed == checked
