"""Positions, patches and pixels."""

import pytest
import torch

from tests.hooked.test_model import tiny
from tests.tiny import pixels
from vitreous.errors import BadInputError, UnknownNameError
from vitreous.hooked import HookedViT
from vitreous.hooked.token_map import image_tokens, text_tokens


def test_the_patch_of_a_position_is_where_its_pixels_are() -> None:
    """Changing the pixels of one patch changes the embedding at its position, and nowhere else."""
    name = "hook_full_embed"
    for cls in ("CLIPModel", "Dinov2WithRegistersModel", "DeiTModel", "SiglipVisionModel"):
        model = HookedViT.from_native(tiny(cls).native())
        tokens, x = model.tokens, pixels(batch=1)
        for position in tokens.index("patch")[[0, 5, 15]].tolist():
            x0, y0, x1, y1 = tokens.pixels(position)
            changed = x.clone()
            changed[..., y0:y1, x0:x1] += 1
            with torch.no_grad():
                a, b = (model.run_with_cache(t, names_filter=name)[1][name] for t in (x, changed))
            assert (a != b).any(-1)[0].nonzero().flatten().tolist() == [position]


def test_kinds() -> None:
    registers = HookedViT.from_native(tiny("Dinov2WithRegistersModel").native()).tokens
    assert registers.kind[:5] == ("cls", "register", "register", "register", "patch")
    assert HookedViT.from_native(tiny("DeiTModel").native()).tokens.kind[:3] == ("cls", "distillation", "patch")
    assert HookedViT.from_native(tiny("SiglipVisionModel").native()).tokens.kind == ("patch",) * 16
    assert registers.index("register").tolist() == [1, 2, 3]
    assert registers.index("cls+patch").tolist() == [0, *range(4, 20)]
    assert len(registers.index("all")) == registers.n == len(registers) == 20
    assert registers.index("text").tolist() == []
    with pytest.raises(UnknownNameError, match="did you mean 'patch'"):
        registers.index("patches")


def test_grids_that_are_not_square() -> None:
    tokens = image_tokens(("cls",), grid=(2, 3), patch_size=(4, 6))
    assert list(tokens)[1:] == [("patch", r, c) for r in range(2) for c in range(3)]
    assert tokens.pixels(6) == (12, 4, 18, 8)
    assert tokens.positions((0, 0, 6, 4)).tolist() == [1]
    assert tokens.positions((5.5, 3.5, 6.5, 4.5)).tolist() == [1, 2, 4, 5]
    with pytest.raises(BadInputError, match="'cls', not a patch"):
        tokens.pixels(0)
    assert text_tokens(3).index("text").tolist() == [0, 1, 2]
    video = image_tokens((), grid=(1, 2), patch_size=(4, 4), n_frames=2)
    assert video.frame.tolist() == [0, 0, 1, 1]
