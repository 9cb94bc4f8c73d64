"""The facts of a dashboard computed the slow way: dense codes of everything, one loop per latent."""

import numpy as np
import torch

from .fake import COLS, ROWS, World


def dense(made: World) -> np.ndarray:
    """Codes of all rows, [images, tokens, latents]."""
    codes = made.coder.encode(made.store.x)
    out = torch.zeros(len(made.store.x), made.coder.n_latents).scatter_(1, codes.indices, codes.values)
    return out.numpy().reshape(len(made.store.image_ids), -1, made.coder.n_latents)


def cells(made: World) -> np.ndarray:
    """Codes by cell: patches row-major, then CLS; [images, cells, latents]."""
    z = dense(made)
    extra = z.shape[1] - ROWS * COLS
    return np.concatenate([z[:, extra:], z[:, :extra]], axis=1)


def top_images(made: World, latent: int, k: int) -> list[int]:
    """The k images with the largest peak, ties to the earlier one."""
    peak = dense(made)[:, :, latent].max(1)
    order = sorted(range(len(peak)), key=lambda i: (-peak[i], i))
    return [i for i in order if peak[i] > 0][:k]
