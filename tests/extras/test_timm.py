"""What is particular to timm's models: other image sizes, unfused attention, blocks that are not known, token maps."""

from functools import partial

import pytest
import timm
import torch
from timm.models.vision_transformer import ParallelScalingBlock, VisionTransformer

from tests.extras.tiny_timm import SHAPE, TINY, Tiny
from tests.tiny import pixels
from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked import HookedViT


def tiny(name: str) -> Tiny:
    return next(t for t in TINY if t.id == name)


@pytest.mark.parametrize("name", ["VisionTransformer-dynamic", "Eva-dinov3"])
def test_other_image_sizes_are_resized_as_the_native_model_does(name: str) -> None:
    native, x = tiny(name).native(), pixels(size=48)
    model = HookedViT.from_native(native)
    with torch.no_grad():
        want = native(x)
        out, cache = model.run_with_cache(x, names_filter="*")
    assert (out - want).abs().max() <= 2e-5
    assert cache["resid_pre", 0].shape[1] == model.token_map((48, 48)).n == 36 + model.tokens.n - 16
    assert not torch.allclose(model.run_with_hooks(x, fwd_hooks=[("hook_full_embed", lambda t, hook: t * 0)]), want)


def test_fixed_sizes_say_how_to_load_others() -> None:
    model = HookedViT.from_native(tiny("VisionTransformer-cls").native())
    with pytest.raises(BadInputError, match=r"dynamic_img_size=True"):
        model(pixels(size=48))
    with pytest.raises(BadInputError, match=r"takes \(32, 32\) pixels only"):
        HookedViT.from_native(tiny("Beit-v2").native())(pixels(size=48))


def test_unfused_attention_shows_everything_while_it_is_hooked() -> None:
    """With `fused_attn=False` only softmax could be seen, with queries that are scaled already."""
    timm.layers.set_fused_attn(False)
    try:
        native = tiny("VisionTransformer-siglip").native()
    finally:
        timm.layers.set_fused_attn(True)
    assert not native.blocks[0].attn.fused_attn
    model = HookedViT.from_native(native)
    with torch.no_grad():
        want = native(pixels())
        out, cache = model.run_with_cache(pixels(), names_filter="*")
    assert (out - want).abs().max() <= 2e-5
    q, k = cache["q", 0], cache["k", 0]
    scores = torch.einsum("b q h e, b k h e -> b h q k", q, k) * model.cfg.d_head**-0.5
    assert torch.allclose(cache["attn_scores", 0], scores, atol=1e-5)
    assert "pool.attn.hook_z" in cache.keys()  # noqa: SIM118
    assert not native.blocks[0].attn.fused_attn
    assert torch.equal(native(pixels()), want)


def test_token_maps_say_what_comes_before_the_patches() -> None:
    kinds = {
        "VisionTransformer-cls": ("cls",),
        "VisionTransformer-dinov2-registers": ("cls", "register", "register", "register"),
        "VisionTransformer-siglip": (),
        "VisionTransformerDistilled-deit": ("cls", "distillation"),
        "Eva-dinov3": ("cls", "register", "register", "register"),
    }
    for name, special in kinds.items():
        model = HookedViT.from_native(tiny(name).native())
        assert tuple(k for k in model.tokens.kind if k != "patch") == special
        before = len(special)
        x, changed = pixels(batch=1), pixels(batch=1)
        changed[..., :8, 8:16] += 1  # the second patch
        with torch.no_grad():
            a, b = (model.run_with_cache(t, names_filter="hook_full_embed")[1]["hook_full_embed"] for t in (x, changed))
        assert (a != b).any(-1)[0].nonzero().flatten().tolist() == [before + 1]


def test_weights_are_views() -> None:
    for name in ("VisionTransformer-cls", "Eva-eva02"):
        model = HookedViT.from_native(tiny(name).native())
        attn = model.blocks[0].attn
        _, cache = model.run_with_cache(pixels(), names_filter="*")
        v = torch.einsum("b p d, h d e -> b p h e", cache["normalized", 0, "ln1"], attn.W_V)
        module = model.layers[0].attn
        bias = module.qkv.bias[-32:] if name.startswith("Vision") else module.v_proj.bias
        assert torch.allclose(v + bias.reshape(4, 8), cache["v", 0], atol=1e-5)
        native = module.qkv.weight if name.startswith("Vision") else module.v_proj.weight
        assert attn.W_V.untyped_storage().data_ptr() == native.untyped_storage().data_ptr()


def test_blocks_that_are_not_known_are_refused() -> None:
    parallel = partial(VisionTransformer, block_fn=ParallelScalingBlock)
    with pytest.raises(UnsupportedError, match=r"timm\.VisionTransformer with layers of class ParallelScalingBlock"):
        HookedViT.from_native(parallel(**SHAPE))
    with pytest.raises(UnsupportedError, match=r"timm\.SwinTransformer has no vision tower.*timm\.VisionTransformer"):
        HookedViT.from_native(timm.create_model("swin_tiny_patch4_window7_224"))
