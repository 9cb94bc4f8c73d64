"""The real configuration of CLIP ViT-B/32, with random weights."""

import torch
from transformers import CLIPConfig, CLIPModel

from vitreous.hooked import HookedCLIP
from vitreous.hooked.check.subject import distance, eager, tensors


def test_vit_b_32_is_the_native_model() -> None:
    """Bit-equal to eager and at most 2e-5 from fused attention, everything hooked; QuickGELU as the config says."""
    torch.manual_seed(0)
    config = CLIPConfig(
        vision_config={"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "patch_size": 32},
        text_config={"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8},
        projection_dim=512,
    )
    native = CLIPModel(config).eval()
    assert type(native.vision_model.encoder.layers[0].mlp.activation_fn).__name__ == "QuickGELUActivation"
    model = HookedCLIP.from_native(native)
    assert (model.vision.cfg.n_layers, model.vision.tokens.n, model.vision.tokens.grid) == (12, 50, (7, 7))
    x = torch.randn(2, 3, 224, 224)
    ids = torch.randint(1, 400, (2, 20))
    ids[:, -1] = config.text_config.eos_token_id
    with torch.no_grad():
        for tower, inputs in ((model.vision, x), (model.text, ids)):
            fused = tensors(tower(inputs))
            with eager(tower):
                plain = tensors(tower(inputs))
            out, cache = tower.run_with_cache(inputs, names_filter="*")
            assert distance(tensors(out), fused) <= 2e-5
            with eager(tower):
                out, _ = tower.run_with_cache(inputs, names_filter="*")
            assert distance(tensors(out), plain) == 0
            assert list(cache.keys()) == tower.points()
            for i in (0, 11):
                added = cache["resid_pre", i] + cache["attn_out", i]
                assert (added - cache["resid_mid", i]).abs().max() <= 1e-5
