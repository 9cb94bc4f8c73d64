"""The contract over open_clip's families, both towers."""

import pytest

from tests.extras.tiny_open_clip import TINY, Tiny
from tests.extras.tiny_timm import TINY as TIMM_TINY
from vitreous.hooked import FAMILIES, HookedTextEncoder, HookedViT
from vitreous.hooked.check import CHECKS, check_family
from vitreous.hooked.family import class_of


@pytest.mark.parametrize("tiny", TINY, ids=lambda t: t.id)
def test_family(tiny: Tiny) -> None:
    assert check_family(tiny.native(), tiny.inputs(), tiny.kind).checks == tuple(CHECKS)


def test_every_family_and_every_class_is_checked() -> None:
    kinds = {"vision": HookedViT, "text": HookedTextEncoder}
    models = [kinds[getattr(tiny, "kind", "vision")].from_native(tiny.native()) for tiny in (*TINY, *TIMM_TINY)]
    checked = {(model.family.kind, class_of(model.native)) for model in models}
    listed = {(family.kind, name) for family in FAMILIES for name in family.classes if "." in name}
    assert checked == listed
    ours = {family.name for family in FAMILIES if any("." in name for name in family.classes)}
    assert {model.family.name for model in models} == ours
