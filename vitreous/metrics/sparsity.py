"""How sparse codes are: L0, density of every latent, dead fraction."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitreous.errors import BadInputError


def l0(z: Float[Tensor, "rows n"]) -> Float[Tensor, ""]:
    """Mean number of non-zero latents per row.

    >>> l0(torch.tensor([[0.0, 2.0, 0.0], [1.0, 3.0, 0.0]])).item()
    1.5
    """
    return (z != 0).sum(1).double().mean()


def density(z: Float[Tensor, "rows n"]) -> Float[Tensor, " n"]:
    """Fraction of rows in which each latent is non-zero."""
    return (z != 0).double().mean(0)


def fire_counts(values: Float[Tensor, "rows k"], indices: Int[Tensor, "rows k"], n_latents: int) -> Int[Tensor, " n"]:
    """Number of rows in which each latent is non-zero, from sparse codes."""
    return torch.bincount(indices[values != 0], minlength=n_latents)


def dead_fraction(density: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Fraction of latents that fire on no row of the evaluated data. Depends on how much data that is.

    >>> dead_fraction(torch.tensor([0.0, 0.5, 0.0, 1e-6])).item()
    0.5
    """
    return (density == 0).double().mean()


def density_histogram(
    density: Float[Tensor, " n"], bins: int = 40, low: float = -6.0
) -> tuple[Int[Tensor, " bins"], Float[Tensor, " edges"]]:
    """Histogram of log10 density of the latents that fire; counts and the ``bins + 1`` edges from `low` to 0.

    Latents rarer than ``10^low`` fall into the first bin; dead ones are left out.
    """
    if bins < 1 or low >= 0:
        raise BadInputError(f"bins={bins} must be positive and low={low} negative")
    edges = torch.linspace(low, 0.0, bins + 1, dtype=torch.float64)
    logs = density[density > 0].double().log10().clamp(low, 0.0)
    place = ((logs - low) / -low * bins).long().clamp(0, bins - 1)
    return torch.bincount(place, minlength=bins), edges
