"""The embedded VLM on scenes: the positions of an object's box are those that say what the object is."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vitreous.data.scenes import Scene, Scenes
from vitreous.hooked import HookedVLM

STREAM = "language.blocks.0.hook_resid_pre"


@pytest.fixture(scope="module")
def model() -> HookedVLM:
    return HookedVLM.from_pretrained("vitreous/scenes-vlm")


def scenes(n: int) -> list[Scene]:
    """Scenes whose first object is the only one of its shape, and can be seen."""
    found = Scenes(40, seed=990_018, n_objects=(2, 3))
    alone = [s for s in found if [o.shape for o in s.objects].count(s.objects[0].shape) == 1 and s.boxes[0]]
    return alone[:n]


def test_the_colour_of_an_object_is_read_where_its_box_is(model: HookedVLM) -> None:
    """The image features of the same object in another colour, put in at the positions of its box, change the answer.

    Put in everywhere else, they do not.
    """
    for scene in scenes(6):
        shape, colour = scene.objects[0].shape, scene.objects[0].colour
        other = "blue" if colour != "blue" else "yellow"
        text = f"what colour is the {shape} ?"
        inputs, edited = (model.preprocess(s, text) for s in (scene, scene.edit(0, colour=other)))
        (tokens,) = model.token_map(inputs)
        inside = tokens.positions(scene.boxes[0])
        outside = torch.tensor(sorted({*tokens.index("image").tolist()} - {*inside.tolist()}))
        _, cache = model.run_with_cache(edited, names_filter=[STREAM])
        for at, answer in ((inside, other), (outside, colour)):

            def put(resid: Any, hook: Any, at: Any = at, source: Any = cache[STREAM]) -> Any:
                resid = resid.clone()
                resid[0, at] = source[0, at]
                return resid

            logits = model.run_with_hooks(inputs, fwd_hooks=[(STREAM, put)]).logits
            assert model.processor.tokenizer.decode([int(logits[0, -1].argmax())]) == answer


def test_boxes_and_masks_are_where_the_vision_tower_has_them(model: HookedVLM) -> None:
    for scene in scenes(6):
        (tokens,) = model.token_map(model.preprocess(SimpleNamespace(image=scene.image), "describe the picture ."))
        tower, shift = model.vision.tokens, int(tokens.index("image")[0]) - 1  # the tower has a class position first
        box = scene.boxes[0]
        assert box is not None
        assert tokens.positions(box).tolist() == [i + shift for i in tower.positions(box).tolist()]
        for threshold in (0.01, 0.5):
            own, theirs = (m.positions_of_mask(scene.masks[0], threshold).tolist() for m in (tokens, tower))
            assert own == [i + shift for i in theirs]
            assert own
        share = tokens.to_grid(torch.from_numpy(tokens.mask_share(scene.masks[0])))
        literal = scene.masks[0].reshape(8, 8, 8, 8).mean((1, 3))
        assert torch.allclose(share, torch.from_numpy(literal))
