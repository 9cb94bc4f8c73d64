"""The latents closest to each latent, by the directions they write or read."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.dashboards.record import Neighbours


def nearest(directions: Float[Tensor, "latents d"], k: int, *, block: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """The k other rows with the highest cosine, exactly, in blocks so that no [latents, latents] array is held.

    Returns:
        indices and cosines, both [latents, min(k, latents - 1)], best first.
    """
    unit = torch.nn.functional.normalize(directions.detach().float(), dim=1)
    k = min(k, len(unit) - 1)
    index, score = [], []
    for start in range(0, len(unit), block):
        cosine = unit[start : start + block] @ unit.T
        cosine[torch.arange(len(cosine)), torch.arange(start, start + len(cosine))] = -2.0
        best = cosine.topk(k, dim=1)
        index.append(best.indices)
        score.append(best.values.clamp(-1, 1))
    return torch.cat(index).numpy().astype(np.int32), torch.cat(score).numpy()


def decoder_neighbours(w_dec: Float[Tensor, "latents d"], k: int) -> Neighbours:
    """Neighbours by the cosine of decoder rows: latents that write alike."""
    index, score = nearest(w_dec, k)
    return Neighbours("decoder", "Decoder", "Cosine of the decoder directions: latents that write alike.", index, score)


def encoder_neighbours(w_enc: Float[Tensor, "d latents"], k: int) -> Neighbours:
    """Neighbours by the cosine of encoder columns: latents that read alike."""
    index, score = nearest(w_enc.T, k)
    return Neighbours("encoder", "Encoder", "Cosine of the encoder directions: latents that read alike.", index, score)
