import pytest
import torch
from reference.coders import topk_sae_loss

from vitreous.metrics import fvu
from vitreous.sae import SparseCoder, TopK, loss
from vitreous.sae.check import perturbed
from vitreous.sae.objective import project_decoder_gradient, unit_norm_decoder


@pytest.mark.parametrize("dead", [[], [3], [1, 4, 7, 9, 11, 12]])
def test_loss_and_gradients_equal_the_published_formula(dead):
    coder = perturbed(SparseCoder(5, 16, TopK(3))).double()
    x = torch.randn(11, 5).double()
    expected, codes = topk_sae_loss(x, coder.W_enc, coder.b_enc, coder.W_dec, coder.b_dec, 3, dead, 4, 0.25)
    wanted = torch.autograd.grad(expected, list(coder.parameters()))
    got = loss(coder, x, dead=torch.tensor(dead, dtype=torch.long), k_aux=4, aux_weight=0.25)
    assert torch.allclose(got.total, expected, atol=1e-12)
    assert torch.allclose(got.codes.dense(), codes, atol=1e-12)
    for a, b in zip(torch.autograd.grad(got.total, list(coder.parameters())), wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-10)


def test_reconstruction_is_the_fvu_of_the_batch():
    coder, x = perturbed(SparseCoder(5, 16, TopK(3))), torch.randn(40, 5)
    assert loss(coder, x).reconstruction.item() == pytest.approx(fvu(x, coder(x).detach()).item(), rel=1e-5)


def test_the_bias_does_not_help_the_auxiliary_loss():
    """Moving b_dec moves the residual but not what the dead latents are asked to add without bias."""
    coder, x = perturbed(SparseCoder(5, 16, TopK(3))), torch.randn(20, 5)
    result = loss(coder, x, dead=torch.tensor([1, 2]), k_aux=2)
    grad = torch.autograd.grad(result.auxiliary, coder.b_enc)[0]
    assert set(grad.nonzero()[:, 0].tolist()) <= {1, 2}


def test_projected_gradient_keeps_norms_to_first_order():
    coder = SparseCoder(5, 16, TopK(3))
    coder.W_dec.data.mul_(torch.rand(16, 1) + 0.5)  # not unit norm: the projection must divide by the norm
    coder.W_dec.grad = torch.randn(16, 5)
    project_decoder_gradient(coder)
    along = (coder.W_dec.grad * coder.W_dec).sum(1)
    assert torch.allclose(along, torch.zeros(16), atol=1e-6)


def test_unit_norm_leaves_zero_rows_alone():
    coder = SparseCoder(5, 4, TopK(2))
    coder.W_dec.data[0] = 0
    unit_norm_decoder(coder)
    assert torch.allclose(coder.W_dec.norm(dim=1), torch.tensor([0.0, 1, 1, 1]))


def test_constant_rows_give_a_finite_loss():
    assert torch.isfinite(loss(SparseCoder(5, 16, TopK(3)), torch.ones(4, 5)).total)
