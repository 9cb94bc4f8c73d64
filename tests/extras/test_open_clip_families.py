"""The contract over open_clip's families, both towers."""

import pytest

from tests.extras.tiny_open_clip import TINY, Tiny
from vitreous.hooked.check import CHECKS, check_family


@pytest.mark.parametrize("tiny", TINY, ids=lambda t: t.id)
def test_family(tiny: Tiny) -> None:
    assert check_family(tiny.native(), tiny.inputs(), tiny.kind).checks == tuple(CHECKS)
