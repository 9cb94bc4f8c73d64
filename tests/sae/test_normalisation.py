import pytest
import torch

from vitreous.errors import BadInputError, UnknownNameError
from vitreous.sae import Normalisation, SparseCoder, TopK, fold_decoder_norm, fold_normalisation, start_from_data
from vitreous.sae.check import perturbed
from vitreous.sae.normalisation import NORMALISATIONS


def sample(rows=4000):
    return torch.randn(rows, 6) * torch.tensor([0.1, 1, 3, 1, 1, 20]) + torch.tensor([5.0, 0, -2, 0, 0, 100])


def test_expected_norm_is_root_d():
    coder = SparseCoder(6, 16, TopK(3), normalisation=Normalisation("expected-norm"))
    start_from_data(coder, sample())
    assert coder.normalise(sample()).norm(dim=1).mean().item() == pytest.approx(6**0.5, rel=0.01)


def test_standardise_centres_and_scales_every_dimension():
    coder = SparseCoder(6, 16, TopK(3), normalisation=Normalisation("standardise"))
    x = sample()
    start_from_data(coder, x)
    assert torch.allclose(coder.normalise(x).mean(0), torch.zeros(6), atol=1e-3)
    assert torch.allclose(coder.normalise(x).std(0), torch.ones(6), atol=1e-3)
    assert torch.allclose(coder.denormalise(coder.normalise(x)), x, atol=1e-4)


def test_a_constant_dimension_stays_finite():
    x = torch.randn(50, 6)
    x[:, 2] = 3.0
    coder = SparseCoder(6, 16, TopK(3), normalisation=Normalisation("standardise"))
    start_from_data(coder, x)
    assert torch.isfinite(coder(x)).all()


@pytest.mark.parametrize("kind", NORMALISATIONS)
@pytest.mark.parametrize("options", [{}, {"pre_bias": False}, {"d_out": 9}, {"d_out": 6, "pre_bias": True}])
def test_folding_changes_nothing(kind, options):
    coder = perturbed(SparseCoder(6, 32, TopK(4), normalisation=Normalisation(kind), **options)).double()
    folded = fold_normalisation(coder)
    x = sample(50).double()
    assert torch.equal(folded.normalise(x), x)
    assert torch.allclose(folded.encode_dense(x), coder.encode_dense(x), atol=1e-9)
    assert torch.allclose(folded(x), coder(x), atol=1e-9)
    if kind != "none":
        assert not torch.allclose(folded.W_enc, coder.W_enc)
    assert torch.allclose(fold_normalisation(folded)(x), coder(x), atol=1e-9)


def test_folding_decoder_norms_keeps_outputs_where_ranks_agree():
    coder = perturbed(SparseCoder(6, 32, TopK(32))).double()
    folded = fold_decoder_norm(coder)
    x = torch.randn(20, 6).double()
    assert torch.allclose(folded.W_dec.norm(dim=1), torch.ones(32).double())
    assert torch.allclose(folded(x), coder(x), atol=1e-9)


def test_bad_samples_and_names():
    with pytest.raises(UnknownNameError, match="standardise"):
        Normalisation("standardize")
    with pytest.raises(BadInputError, match="finite"):
        start_from_data(SparseCoder(3, 4, TopK(1)), torch.full((5, 3), float("nan")))
