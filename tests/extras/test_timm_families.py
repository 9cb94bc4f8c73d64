"""The contract over timm's families."""

import pytest

from tests.extras.tiny_timm import TINY, Tiny
from vitreous.hooked.check import CHECKS, check_family


@pytest.mark.parametrize("tiny", TINY, ids=lambda t: t.id)
def test_family(tiny: Tiny) -> None:
    assert check_family(tiny.native(), tiny.inputs()).checks == tuple(CHECKS)
