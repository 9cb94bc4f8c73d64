"""Baselines for dictionaries: directions that were not learned to be sparse."""

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import BadInputError


def random_directions(d: int, n: int, seed: int = 0) -> Float[Tensor, "d n"]:
    """n random unit vectors, uniform on the sphere, as columns."""
    directions = torch.randn(d, n, generator=torch.Generator().manual_seed(seed))
    return directions / directions.norm(dim=0)


def pca_directions(x: Float[Tensor, "rows d"], n: int | None = None) -> Float[Tensor, "d n"]:
    """The n directions of largest variance (all d by default), as orthonormal columns, largest first.

    Raises:
        BadInputError: more directions than dimensions.
    """
    n = x.shape[1] if n is None else n
    if not 1 <= n <= x.shape[1]:
        raise BadInputError(f"{n} principal directions of {x.shape[1]}-dimensional rows")
    centred = x.double() - x.double().mean(0)
    _, vectors = torch.linalg.eigh(centred.t() @ centred)
    return vectors.flip(1)[:, :n].to(x.dtype)
