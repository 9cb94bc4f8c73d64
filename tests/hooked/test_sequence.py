"""Positions of a language model's sequence, what they are and which pixels they show, against native processors."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.hooked.layout_cases import CASES, Case
from tests.tiny_processor import embedded, local, picture
from vitreous.hooked import prompt
from vitreous.hooked.crop import Setting
from vitreous.hooked.sequence import token_maps
from vitreous.hooked.token_map import TokenMap


def maps(case: Case, native: Any, processor: Any, images: Any) -> tuple[prompt.Prompt, list[TokenMap]]:
    """The processor's output and the token maps of its rows."""
    made = prompt.prepare(processor, images, texts(case), case.options)
    setting = Setting(native.config, case.special, prompt.settings(processor, case.options))
    return made, token_maps(made, case.family, setting, processor.tokenizer, made.image_sizes)


def texts(case: Case) -> list[str]:
    """Prompts with words before, between and after the images; of different lengths."""
    if case.layout == "queries":
        return ["where is the red ring"[: 20 - 6 * i] for i in range(len(case.sizes))]
    among = [f" {case.token} and " * len(row) for row in case.sizes]
    return [f"what {images} is where {'the ' * i}" for i, images in enumerate(among)]


def pictures(case: Case) -> list[list[Image.Image]]:
    """Noise of the sizes that the case asks for."""
    return [[picture(size, 10 * i + j) for j, size in enumerate(row)] for i, row in enumerate(case.sizes)]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_placeholders_are_as_many_as_native_ones_and_every_image_has_its_own(case: Case) -> None:
    native, processor = case.native(), case.processor()
    made, found = maps(case, native, processor, pictures(case))
    token = getattr(native.config, case.field)
    for row, (tokens, sizes) in enumerate(zip(found, case.sizes, strict=True)):
        ids = made["input_ids"][row]
        assert tokens.token_id == tuple(ids.tolist())
        placeholders = (ids == token).nonzero().flatten().tolist()
        assert tokens.index("image+newline+query+global+cls").tolist() == placeholders
        assert tokens.index("pad").tolist() == (made["attention_mask"][row] == 0).nonzero().flatten().tolist()
        words = [tokens.token[i] for i in tokens.index("text")]
        assert "what" in words or case.layout == "queries"
        assert not [w for w in words if w.startswith(("<i", "<f", "<r", "<|", "[IMG", "TILE", "<g", "<e"))], words
        assert tokens.sizes == sizes
        assert {int(i) for i in tokens.image} == {-1, *range(len(sizes))}
        starts = [int(np.flatnonzero(tokens.image == i)[0]) for i in range(len(sizes))]
        assert starts == sorted(starts)
    with torch.no_grad():
        native(**made)  # the native model's own count agrees


def painted(image: Image.Image, box: tuple[float, float, float, float], seed: int) -> Image.Image:
    """The image with other noise in the middle of a box."""
    x0, y0, x1, y1 = box
    left, top = round(x0 + (x1 - x0) * 0.3), round(y0 + (y1 - y0) * 0.3)
    right, bottom = max(left + 1, round(x1 - (x1 - x0) * 0.3)), max(top + 1, round(y1 - (y1 - y0) * 0.3))
    new = np.array(image)
    new[top:bottom, left:right] = 255 - new[top:bottom, left:right]
    return Image.fromarray(new)


EXACT = [case for case in CASES if case.exact]


@pytest.mark.parametrize("case", EXACT, ids=lambda c: c.id)
def test_pixels_reach_the_positions_that_the_map_names_and_no_others(case: Case) -> None:
    """With the tower's attention taken out, pixels in the middle of a position's box change that position's embedding.

    Positions elsewhere stay as they are, but for what resampling spreads (two pixels of the resized image and less).
    """
    native, processor, images = case.native(), case.processor(), pictures(case)
    local(native, case.tower)
    made, found = maps(case, native, processor, images)
    before = embedded(native, made, case.language)
    n = 0
    for row, tokens in enumerate(found):
        placed = [int(i) for i in tokens.index("image") if np.prod(tokens.box[i, 2:] - tokens.box[i, :2]) >= 16]
        for position in placed[:: max(1, len(placed) // 6)]:
            image = int(tokens.image[position])
            changed = [list(r) for r in images]
            box = tokens.pixels(position)
            changed[row][image] = painted(images[row][image], box, position)
            new, _ = maps(case, native, processor, changed)
            moved = (embedded(native, new, case.language) - before).abs().amax(-1)
            assert moved[[r for r in range(len(found)) if r != row]].max() == 0 if len(found) > 1 else True
            hit = moved[row].numpy() > 1e-6
            assert hit[position], f"{case.id}: {position} did not move"
            spread = 3 * max(max(size) for size in case.sizes[row]) / 32 + 2
            around = (box[0] - spread, box[1] - spread, box[2] + spread, box[3] + spread)
            assert set(np.flatnonzero(hit)) <= set(tokens.positions(around, image).tolist()), (case.id, position)
            same = (tokens.crop == tokens.crop[position]) & (tokens.image == image) & (tokens.row >= 0)
            assert int(np.flatnonzero(same)[moved[row].numpy()[same].argmax()]) == position
            n += 1
    assert n >= 6
