"""Positions, patches and pixels."""

import numpy as np
import pytest
import torch

from tests.hooked.test_model import tiny
from tests.tiny import pixels
from vitreous.errors import BadInputError, UnknownNameError
from vitreous.hooked import HookedViT
from vitreous.hooked.raster import mask_share
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


def test_masks_and_grids_of_a_tower() -> None:
    tokens = image_tokens(("cls",), grid=(2, 3), patch_size=(4, 6))
    mask = np.zeros((8, 18), dtype=bool)
    mask[1:4, 2:9] = True
    share = [mask[y0:y1, x0:x1].mean() for x0, y0, x1, y1 in (tokens.pixels(i) for i in range(1, 7))]
    assert tokens.mask_share(mask).tolist() == pytest.approx([0, *share])
    assert tokens.positions_of_mask(mask, 0.5).tolist() == [1]
    assert tokens.positions_of_mask(torch.from_numpy(mask), 0.2).tolist() == [1, 2]
    assert tokens.to_grid(torch.arange(7)).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert tokens.to_grid(torch.ones(7, 5)).shape == (2, 3, 5)
    assert tokens.grid_of() == (2, 3)
    kept = tokens.take(np.array([0, 6, 1]))
    assert torch.equal(kept.to_grid(torch.arange(3.0)).isnan(), torch.tensor([[0, 1, 1], [1, 1, 0]]).bool())
    with pytest.raises(BadInputError, match="as large as the image"):
        tokens.mask_share(mask.T)
    with pytest.raises(BadInputError, match="there are 7, got 6"):
        tokens.to_grid(torch.ones(6))
    with pytest.raises(BadInputError, match="no image 1"):
        tokens.positions((0, 0, 9, 9), image=1)
    with pytest.raises(BadInputError, match="no crop 2"):
        tokens.grid_of(crop=2)


def test_shares_of_boxes_between_pixels() -> None:
    """Against a mask drawn a hundred times finer."""
    mask = np.random.default_rng(0).random((5, 7)) > 0.5
    fine = mask.repeat(100, 0).repeat(100, 1)
    boxes = np.array([[0.25, 0.5, 3.75, 4.25], [0.0, 0.0, 7.0, 5.0], [6.1, 4.2, 6.4, 4.8], [1.0, 1.0, 1.0, 3.0]])
    among = np.array([True, True, True, False])
    share = mask_share(mask, boxes, among, (5, 7))
    want = [fine[round(100 * t) : round(100 * b), round(100 * x) : round(100 * r)].mean() for x, t, r, b in boxes[:3]]
    assert share.tolist() == pytest.approx([*want, 0])
