"""Clips: which tubelet is where, preprocessing, and what does not fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import TINY, Tiny
from vitreous.errors import BadInputError
from vitreous.hooked import HookedViT

CLIPS = tuple(t for t in TINY if t.frames)


@pytest.mark.parametrize("tiny", CLIPS, ids=lambda t: t.id)
def test_the_tubelet_of_a_position_is_where_its_pixels_are(tiny: Tiny) -> None:
    """Changing the pixels of one tubelet changes the embedding at its position, and nowhere else."""
    model = HookedViT.from_native(tiny.native())
    tokens, x, name = model.tokens, tiny.inputs(batch=1), "hook_full_embed"
    assert tokens.n == model.cfg.n_ctx
    for position in tokens.index("patch").tolist():
        x0, y0, x1, y1 = tokens.pixels(position)
        changed = x.clone()
        changed[:, list(tokens.frames(position)), :, y0:y1, x0:x1] += 1
        with torch.no_grad():
            a, b = (model.run_with_cache(t, names_filter=name)[1][name] for t in (x, changed))
        assert (a != b).any(-1)[0].nonzero().flatten().tolist() == [position]


def frames(n: int, seed: int = 0) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)) for _ in range(n)]


@pytest.mark.parametrize("cls", ["VJEPA2Model", "VideoMAEModel", "VivitModel", "TimesformerModel"])
def test_clips_are_preprocessed_frame_by_frame(cls: str) -> None:
    tiny = next(t for t in CLIPS if t.cls == cls)
    model = HookedViT.from_native(tiny.native())
    one, two = frames(tiny.frames), frames(tiny.frames, seed=1)
    pixels = model.preprocess(one)
    assert pixels.shape == (1, tiny.frames, 3, 16, 16)
    assert torch.equal(model.preprocess([one, two])[0], pixels[0])
    assert model.preprocess([*one, *two]).shape == pixels.shape
    shown = model.unprocess(pixels)
    assert len(shown[0]) == tiny.frames
    assert shown[0][0].size == (16, 16)
    with pytest.raises(BadInputError, match="clips of"):
        model.preprocess(one[:1])
    with pytest.raises(BadInputError, match="frames, c, h, w"):
        model(pixels[0])
    model(pixels)


def test_other_lengths_where_positions_are_counted() -> None:
    """V-JEPA 2 counts its positions, so a shorter clip is fine; learnt positions are for one length."""
    jepa = HookedViT.from_native(next(t for t in CLIPS if t.cls == "VJEPA2Model").native())
    x = torch.randn(1, 2, 3, 16, 16)
    _, cache = jepa.run_with_cache(x)
    assert cache["resid_pre", 0].shape[1] == jepa.token_map((16, 16), n_frames=2).n == 4
    vivit = HookedViT.from_native(next(t for t in CLIPS if t.cls == "VivitModel").native())
    with pytest.raises(BadInputError, match="takes 4 frames, got 2"):
        vivit(x)


def test_the_predictor_and_the_pooler_are_stacks() -> None:
    model = HookedViT.from_native(next(t for t in CLIPS if t.cls == "VJEPA2Model").native())
    assert "predictor.blocks.0.attn.hook_pattern" in model.points()
    assert model.cfg.n_layers == 2
    classifier = HookedViT.from_native(next(t for t in CLIPS if t.cls == "VJEPA2ForVideoClassification").native())
    _, cache = classifier.run_with_cache(torch.randn(1, 4, 3, 16, 16), names_filter="*")
    assert cache["pool.attn.hook_pattern"].shape == (1, 4, 1, 8)
    assert "pool.blocks.0.hook_resid_mid" in cache.keys()  # noqa: SIM118
