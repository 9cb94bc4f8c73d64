from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitreous.data import Scenes, patch_factors
from vitreous.errors import BadInputError
from vitreous.hooked.token_map import image_tokens
from vitreous.sae import Codes
from vitreous.training.recovery import dashboard_factors, factor_names, patch_truth, recover_factors

N = len(factor_names())


class Oracle:
    """A model whose activation at a patch is its list of true factors, mixed by a random rotation, plus noise."""

    name = "oracle"
    tokens = image_tokens(("cls",), (8, 8), (8, 8))
    cfg = SimpleNamespace(image_size=64, n_layers=2, d_mlp=16)

    def __init__(self, noise: float = 0.05):
        generator = torch.Generator().manual_seed(0)
        self.mix = torch.linalg.qr(torch.randn(N, N, generator=generator))[0]
        self.noise = noise

    def preprocess(self, images):
        return torch.stack([torch.from_numpy(np.asarray(image).copy()) for image in images])

    def run_with_cache(self, pixels, names_filter, stop_at_layer):
        generator = torch.Generator().manual_seed(1)
        out = torch.zeros(len(pixels), 65, N)
        for i, image in enumerate(pixels.numpy()):
            out[i, 1:] = torch.from_numpy(TRUTH[image.tobytes()]).float().reshape(64, N)
        out = out @ self.mix + self.noise * torch.randn(out.shape, generator=generator)
        values = {
            n: out if "resid" in n else torch.rand(len(pixels), 65, 16, generator=generator) for n in names_filter
        }
        return None, values


class Decoder:
    """A perfect dictionary for the oracle; the first `broken` latents are noise."""

    n_latents = N

    def __init__(self, model: Oracle, broken: int = 0):
        self.mix, self.broken, self.meta = model.mix, broken, {"hook_point": "blocks.1.hook_resid_post"}

    def encode(self, x):
        z = torch.relu(x @ self.mix.T - 0.5)
        if self.broken:
            z[:, : self.broken] = torch.rand(z[:, : self.broken].shape, generator=torch.Generator().manual_seed(2))
        values, indices = z.topk(N, dim=1)
        return Codes(values, indices, N)


TRUTH = {}


@pytest.fixture(scope="module", autouse=True)
def truth():
    for seed in (0x7E57, 0x7E58):
        for scene in Scenes(60, seed=seed):
            TRUTH[scene.pixels.tobytes()] = np.stack(list(patch_factors(scene, 8, 8).values()), -1)


def test_a_perfect_dictionary_is_recognised_and_the_baselines_are_not():
    model = Oracle()
    table = recover_factors(model, Decoder(model), n_fit=60, n_test=60)
    assert set(table.factors) == set(factor_names())
    assert min(table.f1["sae"]) > 0.97
    assert table.unit == tuple(factor_names().index(name) for name in table.factors)
    assert table.mean("f1", "probe") > 0.9
    for baseline in ("neurons", "random", "pca"):  # PCA sees frequent factors: their variances differ here
        assert table.mean("f1", baseline) < table.mean("f1", "sae") - 0.1
    assert table.mean("f1", "neurons") < 0.3  # here the neurons are pure noise
    assert set(table.names()) == set(table.unit)


def test_broken_latents_lose_exactly_their_factors():
    model = Oracle()
    table = recover_factors(model, Decoder(model, broken=5), n_fit=60, n_test=60)
    good = dict(zip(table.factors, table.f1["sae"], strict=True))
    assert all(good[name] < 0.7 for name in factor_names()[:5])
    assert all(good[name] > 0.97 for name in factor_names()[5:])


def test_truth_is_in_the_order_of_rows():
    scenes = Scenes(3, seed=11)[:]
    stacked = patch_truth(scenes, (8, 8))
    assert stacked.shape == (3, 64, N)
    for i, scene in enumerate(scenes):
        grids = patch_factors(scene, 8, 8)
        for j, name in enumerate(factor_names()):
            assert (stacked[i, :, j].reshape(8, 8) == grids[name]).all()
            assert (dashboard_factors(scenes, (8, 8))[name][i] == grids[name]).all()


def test_a_coder_without_a_point_is_refused():
    coder = Decoder(Oracle())
    coder.meta = {}
    with pytest.raises(BadInputError, match="pass point="):
        recover_factors(Oracle(), coder)
