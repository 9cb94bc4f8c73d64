"""The fast products against plain autograd: values and every gradient, repeated and padded indices included."""

import pytest
import torch

from vitreous.sae import sparse


@pytest.mark.parametrize("width", [1, 4, 9])
@pytest.mark.parametrize("b", [0, 1, 17])
def test_active_product_equals_its_twin(width, b):
    x, weight, bias = torch.randn(b, 5).double(), torch.randn(5, 12).double(), torch.randn(12).double()
    chosen = torch.randint(0, 12, (b, width))
    upstream = torch.randn(b, width).double()
    grads = []
    for product in (sparse.active_product, sparse.active_product_dense):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        values, indices = product(*leaves, lambda pre: chosen)
        (values * upstream).sum().backward()
        grads.append([values.detach(), indices, *(leaf.grad for leaf in leaves)])
    for fast, dense in zip(*grads, strict=True):
        assert torch.allclose(fast, dense, atol=1e-12)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("b", [0, 1, 17])
def test_decode_equals_its_twin(width, b):
    values, weight = torch.randn(b, width).double(), torch.randn(12, 5).double()
    indices = torch.randint(0, 12, (b, width))
    upstream = torch.randn(b, 5).double()
    grads = []
    for product in (sparse.decode, sparse.decode_dense):
        leaves = [t.clone().requires_grad_() for t in (values, weight)]
        out = product(leaves[0], indices, leaves[1])
        (out * upstream).sum().backward()
        grads.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for fast, dense in zip(*grads, strict=True):
        assert torch.allclose(fast, dense, atol=1e-12)


def test_works_on_slices_that_are_not_contiguous():
    """AuxK splits one selection in two; a part of width 1 keeps the stride of the whole."""
    values, indices = torch.randn(6, 3), torch.randint(0, 8, (6, 3))
    weight = torch.randn(8, 4)
    for part in (slice(0, 1), slice(1, 3)):
        v = values[:, part].clone().requires_grad_()
        out = sparse.decode(values[:, part], indices[:, part], weight)
        assert torch.allclose(out, sparse.decode_dense(v, indices[:, part], weight), atol=1e-6)
        w = weight.clone().requires_grad_()
        sparse.decode(v, indices[:, part], w).sum().backward()
        assert torch.allclose(v.grad, weight.sum(1)[indices[:, part]], atol=1e-5)


def test_gradcheck():
    x, weight, bias = torch.randn(3, 4).double(), torch.randn(4, 6).double(), torch.randn(6).double()
    chosen = torch.tensor([[0, 2], [5, 1], [3, 3]])

    def whole(x, weight, bias, decoder):
        values, indices = sparse.active_product(x, weight, bias, lambda pre: chosen)
        return sparse.decode(torch.tanh(values), indices, decoder)

    inputs = [t.requires_grad_() for t in (x, weight, bias, torch.randn(6, 4).double())]
    assert torch.autograd.gradcheck(whole, inputs)
