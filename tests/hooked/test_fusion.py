"""Image and text in one sequence: which position is what, and nothing random is left."""

import pytest
import torch

from tests.hooked.test_model import tiny
from tests.tiny import both, hidden
from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked import HookedFusion


@pytest.mark.parametrize("cls", ["ViltModel", "FlavaModel"])
def test_the_patch_of_a_position_is_where_its_pixels_are(cls: str) -> None:
    model = HookedFusion.from_native(tiny(cls, "fusion").native())
    name = "hook_full_embed" if cls == "ViltModel" else "hook_image_embed"
    given = {k: v[:1] for k, v in both().items()}
    tokens = model.token_map(given)
    _, cache = model.run_with_cache(given, names_filter=[name, "blocks.0.hook_resid_pre"])
    assert cache["resid_pre", 0].shape[1] == tokens.n
    assert len(tokens.index("patch")) == 16
    assert len(tokens.index("text")) == 7
    if cls == "FlavaModel":
        assert tokens.kind[:3] == ("cls", "cls", "patch")
        return  # its towers have mixed the patches before they meet
    for position in tokens.index("patch")[[0, 7, 15]].tolist():
        x0, y0, x1, y1 = tokens.pixels(position)
        changed = given["pixel_values"].clone()
        changed[..., y0:y1, x0:x1] += 1
        with torch.no_grad():
            moved = model.run_with_cache({**given, "pixel_values": changed}, names_filter=name)[1][name]
        assert (moved != cache[name]).any(-1)[0].nonzero().flatten().tolist() == [position]


def test_draws_are_the_same_and_the_generator_is_left_alone() -> None:
    model = HookedFusion.from_native(tiny("ViltModel", "fusion").native())
    torch.manual_seed(3)
    first = model(both()).last_hidden_state
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after)
    assert torch.equal(model(both()).last_hidden_state, first)


def test_what_it_cannot_know() -> None:
    model = HookedFusion.from_native(tiny("FlavaMultimodalModel", "fusion").native())
    with pytest.raises(UnsupportedError, match="hidden states"):
        model.token_map({"hidden_states": hidden()})
    with pytest.raises(BadInputError, match="mapping"):
        model("a red ring")
