"""Fold scales into weights: the same coder reading raw activations directly. Each fold is an exact invariance."""

import torch

from vitreous.sae.coder import SparseCoder
from vitreous.sae.normalisation import Normalisation


@torch.no_grad()
def fold_normalisation(coder: SparseCoder) -> SparseCoder:
    """A copy with the same codes and outputs whose weights read raw activations.

    With ``x_n = (x - m) s``: ``W_enc' = s W_enc``; with pre-bias ``b_dec' = b_dec / s + m``, without
    ``b_enc' = b_enc - (m s) W_enc``; on the output side ``W_dec' = W_dec / s``, ``b_dec' = b_dec / s + m``.
    Decoder rows are no longer unit norm afterwards.
    """
    new = coder.copy()
    if coder.normalisation.kind == "none" or coder.normalisation.folded:
        return new
    shift, scale = coder.get_buffer("in_shift"), coder.get_buffer("in_scale")
    out_shift, out_scale = coder._output_constants()
    if not coder.pre_bias:
        new.b_enc.sub_((shift * scale) @ coder.W_enc)
    elif coder.is_transcoder:  # the pre-bias keeps its old value on the input side, so move it into b_enc
        new.b_enc.sub_((shift * scale + coder.b_dec) @ coder.W_enc)
        new.pre_bias = False
    new.W_enc.mul_(scale[:, None])
    new.W_dec.div_(out_scale)
    new.b_dec.div_(out_scale).add_(out_shift)
    new.normalisation = Normalisation(coder.normalisation.kind, folded=True)
    return new


@torch.no_grad()
def fold_decoder_norm(coder: SparseCoder) -> SparseCoder:
    """A copy with unit-norm decoder rows; codes are multiplied by the old norms, outputs stay the same.

    Not an invariance of *which* latents TopK selects: ranking changes unless all norms are equal, because ``h`` is
    scaled too. Use it on coders whose selection is per latent, or whose rows are already (nearly) unit norm.
    """
    new = coder.copy()
    norms = coder.W_dec.norm(dim=1).clamp_min(1e-12)
    new.W_enc.mul_(norms)
    new.b_enc.mul_(norms)
    new.W_dec.div_(norms[:, None])
    return new
