"""Images of another size, for every native class: as the native model resizes its positions, or a clear error."""

import pytest
import torch

from tests.tiny import TINY, Tiny
from vitreous.errors import BadInputError
from vitreous.hooked import HookedViT

VISION = tuple(t for t in TINY if t.kind == "vision")


def larger(tiny: Tiny, size: tuple[int, int]) -> torch.Tensor:
    shape = (2, 3, *size) if not tiny.frames else (2, tiny.frames, 3, *size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(48, 48), (48, 32)], ids=["square", "wide"])
@pytest.mark.parametrize("tiny", VISION, ids=lambda t: t.id)
def test_other_image_sizes(tiny: Tiny, size: tuple[int, int]) -> None:
    model = HookedViT.from_native(tiny.native())
    x = larger(tiny, size)
    if model.family.interpolate == "never" or (model.family.interpolate.startswith("if ") and tiny.note != "native"):
        with pytest.raises(BadInputError, match="pixels only"):
            model(x)
        return
    given = model._inputs(x)
    with torch.no_grad():
        want = model.native_call()(**given)
        out, cache = model.run_with_cache(x, names_filter="*")
    for key, value in want.items():
        if torch.is_tensor(value) and value.is_floating_point():
            assert (out[key] - value).abs().max() <= 2e-5 * max(1.0, float(value.abs().max()))
    tokens = model.token_map(size)
    assert cache["resid_pre", 0].shape[1] == tokens.n
    assert tokens.n > model.tokens.n
    positions = cache.cache_dict.get("hook_pos_embed")
    if positions is not None and not model.family.noise:  # a masked autoencoder has more of them than it keeps
        n_patches, n_special = len(tokens.index("patch")), len(model.family.special)
        assert positions.shape[-2] - n_patches in range(n_special + 1)
