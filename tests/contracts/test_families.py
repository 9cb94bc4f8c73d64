"""The contract, over every family and every native class that a family lists."""

import pytest

from tests.tiny import TINY, Tiny
from vitreous.hooked import FAMILIES
from vitreous.hooked.check import CHECKS, check_family


@pytest.mark.parametrize("tiny", TINY, ids=lambda t: t.id)
def test_family(tiny: Tiny) -> None:
    report = check_family(tiny.native(), tiny.inputs(), tiny.kind)
    assert report.checks == tuple(CHECKS)


def test_every_class_of_every_family_is_checked() -> None:
    listed = {(family.kind, name) for family in FAMILIES for name in family.classes}
    assert listed == {(tiny.kind, tiny.cls) for tiny in TINY}
