"""Towers whose stream is rearranged, widened or normed on the way: positions, sums, and what is refused."""

import pytest
import torch

from tests.hooked.test_model import tiny
from tests.tiny import pixels
from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked import HookedTextEncoder, HookedViT

MERGED = {"SwinModel": "stages.0.merge.hook_out", "Swinv2Model": "stages.0.merge.hook_out"}
MERGED["HieraModel"] = "blocks.2.hook_resid_proj"


@pytest.mark.parametrize("cls", ["SwinModel", "HieraModel", "SamVisionModel"])
def test_the_patch_of_a_position_is_where_its_pixels_are(cls: str) -> None:
    """Changing a patch's first pixel (which Hiera's overlapping patches do not share) changes its position only."""
    model = HookedViT.from_native(tiny(cls).native())
    tokens, x, name = model.tokens, pixels(batch=1), "blocks.0.hook_resid_pre"
    for position in range(0, tokens.n, 5):
        x0, y0, _, _ = tokens.pixels(position)
        changed = x.clone()
        changed[..., y0, x0] += 1
        with torch.no_grad():
            a, b = (model.run_with_cache(t, names_filter=name)[1][name] for t in (x, changed))
        assert (a != b).any(-1)[0].nonzero().flatten().tolist() == [position]


@pytest.mark.parametrize("cls", MERGED)
def test_a_merged_position_reads_the_patches_in_its_box(cls: str) -> None:
    model = HookedViT.from_native(tiny(cls).native())
    before, after, x = model.token_map((32, 32), layer=1), model.token_map((32, 32), layer=2), pixels(batch=1)
    assert (before.n, after.n, after.patch_size) == (64, 16, (8, 8))
    with torch.no_grad():
        cache = model.run_with_cache(x, names_filter=[MERGED[cls], "blocks.1.hook_resid_post"])[1]
        clean, pushed = cache[MERGED[cls]], cache["resid_post", 1]
        for position in (0, 5, 15):
            inside = before.positions(after.pixels(position))
            noise = torch.zeros_like(pushed).index_copy(1, inside, torch.randn(1, len(inside), pushed.shape[-1]))
            with model.hooks([("blocks.1.hook_resid_post", lambda t, hook, noise=noise: t + noise)]):
                moved = model.run_with_cache(x, names_filter=MERGED[cls])[1][MERGED[cls]]
            assert (clean != moved).any(-1)[0].nonzero().flatten().tolist() == [position]
    with pytest.raises(BadInputError, match="layer 9"):
        model.token_map((32, 32), layer=9)


def test_windows_and_stages_are_what_the_names_say() -> None:
    model = HookedViT.from_native(tiny("SwinModel").native())
    _, cache = model.run_with_cache(pixels(), names_filter="*")
    assert model.cfg.stages == (2, 2)
    assert cache["pattern", 0].shape == (2 * 16, 2, 4, 4)
    assert cache["pattern", 3].shape == (2 * 4, 4, 4, 4)
    assert cache["attn_out", 1].shape == (2, 64, 16)
    assert cache["resid_post", 3].shape == (2, 16, 32)
    assert torch.equal(cache["stages.0.merge.hook_out"], cache["resid_pre", 2])


def test_what_is_no_sum_over_layers_is_refused() -> None:
    swin = HookedViT.from_native(tiny("SwinModel").native())
    _, cache = swin.run_with_cache(pixels(), names_filter="*")
    for refused in (cache.decompose_resid, cache.accumulated_resid, cache.stack_head_results):
        with pytest.raises(UnsupportedError, match="has stages"):
            refused()
    case = tiny("ChineseCLIPTextModel", "text")
    bert = HookedTextEncoder.from_native(case.native())
    _, cache = bert.run_with_cache(case.inputs(), names_filter="*")
    for refused in (cache.decompose_resid, cache.stack_head_results):
        with pytest.raises(UnsupportedError, match="post-LN"):
            refused()
    stack = cache.accumulated_resid()
    assert torch.equal(stack[-1], cache["blocks.1.hook_normalized_resid_post"])
    sam = HookedViT.from_native(tiny("SamVisionModel").native())
    _, cache = sam.run_with_cache(pixels(), names_filter="*")
    assert torch.allclose(cache.decompose_resid().sum(0), cache["resid_post", 1], atol=1e-4)
    with pytest.raises(UnsupportedError, match="rearranges"):
        cache.stack_head_results()
