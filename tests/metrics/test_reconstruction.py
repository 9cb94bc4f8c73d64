import pytest
import torch

from vitreous.metrics import cosine, fvu, mse


def test_fvu_by_loops():
    x, x_hat = torch.randn(7, 3), torch.randn(7, 3)
    mean = [sum(x[:, j].tolist()) / 7 for j in range(3)]
    top = sum((x[i, j] - x_hat[i, j]).item() ** 2 for i in range(7) for j in range(3))
    bottom = sum((x[i, j].item() - mean[j]) ** 2 for i in range(7) for j in range(3))
    assert fvu(x, x_hat).item() == pytest.approx(top / bottom, rel=1e-5)


def test_fvu_of_the_mean_row_is_one_whatever_the_offset():
    x = torch.randn(500, 4) + torch.tensor([1000.0, 0, 0, -5])
    assert fvu(x, x.mean(0).expand_as(x)).item() == pytest.approx(1, abs=1e-3)
    assert fvu(x, x).item() == 0


def test_fvu_does_not_forgive_a_constant_bias():
    x = torch.randn(500, 4)
    assert fvu(x, x + 1).item() == pytest.approx(1, abs=0.1)


def test_cosine_is_over_dimensions():
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert cosine(x, torch.tensor([[5.0, 0.0], [3.0, 0.0]])).item() == pytest.approx(0.5)
    assert cosine(x, torch.zeros(2, 2)).item() == 0


def test_mse_sums_dimensions():
    assert mse(torch.zeros(4, 3), torch.ones(4, 3)).item() == 3
