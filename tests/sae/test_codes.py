import torch

from vitreous.sae import Codes
from vitreous.sae.codes import from_dense


def test_dense_round_trip():
    z = torch.relu(torch.randn(3, 4, 20) - 0.5)
    codes = from_dense(z)
    assert torch.equal(codes.dense(), z)
    assert torch.equal(codes.l0(), (z != 0).sum(-1).float())
    assert codes.values.shape[-1] == int((z != 0).sum(-1).max())


def test_unused_places_do_not_count():
    codes = Codes(torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[1, 0, 0]]), 3)
    assert codes.dense().tolist() == [[0.0, 2.0, 0.0]]
    assert codes.l0().tolist() == [1.0]


def test_empty():
    assert from_dense(torch.zeros(2, 5)).dense().sum() == 0
    assert from_dense(torch.zeros(0, 5)).dense().shape == (0, 5)
