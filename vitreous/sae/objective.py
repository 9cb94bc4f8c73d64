"""What a coder is trained to do: reconstruct, and keep its latents alive."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.sae.coder import SparseCoder
from vitreous.sae.codes import Codes


@dataclass(frozen=True)
class Loss:
    """The terms of one step, in normalised units.

    Attributes:
        total: what is differentiated, ``reconstruction + aux_weight * auxiliary``.
        reconstruction: squared error divided by the batch's variance around its mean (the FVU of the batch).
        auxiliary: the same for the residual as predicted by dead latents; 0 without dead latents.
        codes: the active latents.
    """

    total: Float[Tensor, ""]
    reconstruction: Float[Tensor, ""]
    auxiliary: Float[Tensor, ""]
    codes: Codes


def loss(
    coder: SparseCoder,
    x: Float[Tensor, "b d_in"],
    y: Float[Tensor, "b d_out"] | None = None,
    *,
    dead: Tensor | None = None,
    k_aux: int = 0,
    aux_weight: float = 1 / 32,
    fast: bool = True,
) -> Loss:
    """Reconstruction loss with AuxK.

    ``L = |y - y_hat|^2 / |y - mean(y)|^2 + w |e - e_hat|^2 / |e - mean(e)|^2`` with ``e = stopgrad(y - y_hat)`` and
    ``e_hat`` the reconstruction of e, without bias, by the k_aux strongest dead latents. With fewer than k_aux dead
    latents the second term is scaled by ``n_dead / k_aux``. Its gradient reaches the encoder through the dead latents'
    pre-activations. Gao et al. 2024, appendix A.2.

    Args:
        coder: the coder.
        x: raw inputs.
        y: raw targets of a transcoder.
        dead: indices of dead latents; None or empty switches AuxK off.
        k_aux: dead latents per row.
        aux_weight: weight w of the second term.
        fast: sparse gradients (the dense twin otherwise).
    """
    inputs = coder.normalise(x)
    target = inputs if y is None else coder.normalise_target(y)
    codes, revived = coder.active(inputs, dead, k_aux, fast=fast)
    error = target - coder.reconstruct(codes, fast=fast)
    reconstruction = error.square().sum() / _scatter(target)
    auxiliary = reconstruction.new_zeros(())
    if revived is not None and dead is not None:
        residual = error.detach()
        missed = residual - coder.reconstruct(revived, bias=False, fast=fast)
        auxiliary = missed.square().sum() / _scatter(residual) * min(1.0, dead.numel() / k_aux)
    return Loss(reconstruction + aux_weight * auxiliary, reconstruction, auxiliary, codes)


def _scatter(x: Tensor) -> Tensor:
    """Squared distance of all rows from their mean, detached; 1e-12 instead of 0 for constant rows."""
    return (x - x.mean(0)).square().sum().detach().clamp_min(1e-12)


@torch.no_grad()
def project_decoder_gradient(coder: SparseCoder) -> None:
    """Remove from the decoder's gradient what would change row norms: ``G -= (G . d) d / |d|^2``, in place."""
    grad, rows = coder.W_dec.grad, coder.W_dec
    if grad is not None:
        along = (grad * rows).sum(1, keepdim=True) / rows.square().sum(1, keepdim=True).clamp_min(1e-30)
        grad.addcmul_(along, rows, value=-1)


@torch.no_grad()
def unit_norm_decoder(coder: SparseCoder) -> None:
    """Rescale every decoder row to norm 1, in place; a zero row stays zero."""
    coder.W_dec.div_(coder.W_dec.norm(dim=1, keepdim=True).clamp_min(1e-12))
