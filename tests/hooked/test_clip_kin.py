"""HookedCLIP over every native class with two towers: its logits are the native model's."""

import pytest
import torch

from tests.tiny import TINY
from vitreous.hooked import HookedCLIP

VISION = {t.cls: t for t in TINY if t.kind == "vision"}
DUAL = tuple(t for t in TINY if t.kind == "text" and t.cls in VISION)


@pytest.mark.parametrize("tiny", DUAL, ids=lambda t: t.cls)
def test_logits_are_the_native_ones(tiny) -> None:
    model = HookedCLIP.from_native(tiny.native())
    x, text = VISION[tiny.cls].inputs(), tiny.inputs()
    names = ["vision.blocks.0.attn.hook_pattern", "text.blocks.1.attn.hook_pattern"]
    with torch.no_grad():
        logits = model.logits(x, model.embed_text(text))
        if tiny.cls == "FlavaModel":  # its own forward computes no logits
            scale = model.native.logit_scale.exp()
            image = model.native.get_image_features(x).pooler_output[:, 0]
            words = model.native.get_text_features(**text).pooler_output[:, 0]
            cosine = torch.nn.functional.cosine_similarity(image[:, None], words[None], dim=-1)
            assert (logits - cosine * scale).abs().max() <= 2e-5 * float(logits.abs().max())
            return
        out, cache = model.run_with_cache(x, text, names_filter=names)
        assert (logits - out.logits_per_image).abs().max() <= 2e-5 * float(logits.abs().max())
    assert list(cache.keys()) == names
