import pytest
import torch

from vitreous.errors import UnknownNameError
from vitreous.sae import SparseCoder, TopK, geometric_median, start_from_data


def test_geometric_median_minimises_the_sum_of_distances():
    x = torch.randn(301, 3) * 2 + 5
    centre = geometric_median(x).double()
    best = (x - centre).norm(dim=1).sum()
    for _ in range(50):
        moved = centre + 0.05 * torch.randn(3).double()
        assert (x - moved).norm(dim=1).sum() >= best - 1e-6


def test_geometric_median_ignores_a_massive_row():
    x = torch.randn(200, 3)
    x[0] = 1e6
    assert geometric_median(x).norm() < 0.5 < x.mean(0).norm()


def test_geometric_median_of_a_line_is_the_median():
    assert geometric_median(torch.tensor([[0.0], [1.0], [10.0]])).item() == pytest.approx(1.0, abs=1e-3)


def test_start_sets_the_bias_and_nothing_else():
    coder = SparseCoder(3, 8, TopK(2))
    before = coder.copy()
    x = torch.randn(100, 3) + 7
    start_from_data(coder, x, centre="mean")
    assert torch.allclose(coder.b_dec, x.mean(0), atol=1e-5)
    assert torch.equal(coder.W_enc, before.W_enc)
    start_from_data(before, x, centre="zero")
    assert not before.b_dec.any()
    with pytest.raises(UnknownNameError, match="geometric-median"):
        start_from_data(coder, x, centre="median")


def test_initial_weights_depend_on_the_seed_only_and_share_no_memory():
    a, b, c = SparseCoder(5, 9, seed=1), SparseCoder(5, 9, seed=1), SparseCoder(5, 9, seed=2)
    assert torch.equal(a.W_dec, b.W_dec)
    assert not torch.equal(a.W_dec, c.W_dec)
    assert torch.equal(a.W_enc, a.W_dec.t())
    a.W_dec.data.zero_()
    assert a.W_enc.abs().sum() > 0
    assert torch.allclose(b.W_dec.norm(dim=1), torch.ones(9))
