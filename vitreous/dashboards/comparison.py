"""Two coders side by side: which latent of one is which latent of the other."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.dashboards.record import Column, Comparison, Record
from vitreous.errors import BadInputError


def match(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, block: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """For every row of `a`, the row of `b` with the highest cosine, and that cosine; exact, in blocks."""
    unit_a = torch.nn.functional.normalize(a.detach().float(), dim=1)
    unit_b = torch.nn.functional.normalize(b.detach().float(), dim=1)
    best = [(part @ unit_b.T).max(dim=1) for part in unit_a.split(block)]
    index = torch.cat([part.indices for part in best])
    return index.numpy().astype(np.int32), torch.cat([part.values for part in best]).clamp(-1, 1).numpy()


def compare(
    first: Record, second: Record, a: Float[Tensor, "n d"], b: Float[Tensor, "m e"], title: str = "second coder"
) -> Record:
    """The first record with the second beside it, matched by the cosine of their directions.

    Args:
        first: record whose latents are listed.
        second: record of another coder, layer, checkpoint or seed on a model of the same width.
        a: directions of the first coder's latents, usually `coder.W_dec`.
        b: directions of the second's.
        title: what the second one is, e.g. "seed 1" or "layer 4".

    Returns:
        `first` with a comparison and a column `match`: the best cosine, by which to find what only one of them has.

    Raises:
        BadInputError: directions of different widths, or not one per latent.
    """
    if a.shape[1] != b.shape[1]:
        raise BadInputError(f"directions of width {a.shape[1]} and {b.shape[1]} cannot be compared by cosine")
    if len(a) != first.n_latents or len(b) != second.n_latents:
        given = f"{len(a)} and {len(b)} directions for {first.n_latents} and {second.n_latents} latents"
        raise BadInputError(f"one direction per latent is needed, got {given}")
    index, score = match(a, b)
    back_index, back_score = match(b, a)
    column = Column("match", "Match", f"Cosine with the most similar decoder direction of the {title}.", score)
    twin = Comparison(title, second, index, score, back_index, back_score)
    return dataclasses.replace(first, columns=(*first.columns, column), comparison=twin)
