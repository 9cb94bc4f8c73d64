"""Published formulas of sparse coders, written out with loops, row by row."""

import torch


def topk_row(h, k):
    """Keep the k largest of one row of pre-activations, rectified."""
    keep = sorted(range(len(h)), key=lambda i: -h[i].item())[:k]
    return torch.tensor([max(h[i].item(), 0.0) if i in keep else 0.0 for i in range(len(h))], dtype=h.dtype)


def topk_sae_loss(x, w_enc, b_enc, w_dec, b_dec, k, dead, k_aux, weight):
    """Gao et al. 2024: normalised squared error plus AuxK, one row after the other.

    The residual is a constant, the auxiliary reconstruction has no bias, and its latents are the k_aux strongest dead
    ones of the row; with fewer than k_aux dead latents the term is scaled down in proportion.
    """
    error, aux_error = x.new_zeros(()), x.new_zeros(())
    residuals = []
    codes = []
    for row in x:
        h = (row - b_dec) @ w_enc + b_enc
        z = topk_row(h.detach(), k)
        mask = (z > 0).to(h.dtype)
        z = h * mask
        codes.append(z.detach())
        e = row - (sum(z[i] * w_dec[i] for i in range(len(z))) + b_dec)
        error = error + (e * e).sum()
        residuals.append(e.detach())
    mean = x.mean(0)
    total = error / sum(((row - mean) ** 2).sum() for row in x)
    if len(dead):
        mean_residual = torch.stack(residuals).mean(0)
        for row, e in zip(x, residuals, strict=True):
            h = (row - b_dec) @ w_enc + b_enc
            best = sorted(dead, key=lambda i: -h[i].item())[:k_aux]
            guess = sum(torch.relu(h[i]) * w_dec[i] for i in best)
            aux_error = aux_error + ((e - guess) ** 2).sum()
        scatter = sum(((e - mean_residual) ** 2).sum() for e in residuals)
        total = total + weight * aux_error / scatter * min(1.0, len(dead) / k_aux)
    return total, torch.stack(codes)
