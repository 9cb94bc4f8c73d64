import pytest
import torch

from vitreous.errors import BadInputError
from vitreous.metrics import dead_fraction, density, density_histogram, fire_counts, l0
from vitreous.sae.codes import from_dense


def test_definitions_agree():
    z = torch.relu(torch.randn(300, 20) - 1)
    z[:, 3] = 0
    codes = from_dense(z)
    assert l0(z).item() == pytest.approx(density(z).sum().item())
    assert torch.equal(fire_counts(codes.values, codes.indices, 20), (z != 0).sum(0))
    assert dead_fraction(density(z)).item() == pytest.approx(0.05)


def test_negative_codes_count_as_active():
    assert l0(torch.tensor([[-1.0, 0.0]])).item() == 1


def test_histogram():
    d = torch.tensor([0.0, 1.0, 0.5, 1e-3, 1e-9, 10**-5.95])
    counts, edges = density_histogram(d, bins=6)
    assert counts.tolist() == [2, 0, 0, 1, 0, 2]
    assert edges.tolist() == [-6, -5, -4, -3, -2, -1, 0]
    with pytest.raises(BadInputError, match="bins"):
        density_histogram(d, bins=0)
