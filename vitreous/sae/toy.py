"""Superposition with a known answer: more sparse features than dimensions."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Toy:
    """Rows that are sums of a few of many unit directions: ``x = sum_i a_i f_i + offset``.

    Attributes:
        features: the true directions, unit rows.
        n_active: mean number of active features per row.
        offset: constant added to every row.
    """

    features: Float[Tensor, "n d"]
    n_active: float
    offset: Float[Tensor, " d"]

    def rows(self, n: int, seed: int) -> Float[Tensor, "rows d"]:
        """n rows; each feature is active with probability ``n_active / n`` and then uniform in [0.5, 1.5]."""
        generator = torch.Generator().manual_seed(seed)
        shape = (n, self.features.shape[0])
        active = torch.rand(shape, generator=generator) < self.n_active / shape[1]
        return (active * (0.5 + torch.rand(shape, generator=generator))) @ self.features + self.offset


def toy(d: int = 24, n_features: int = 40, n_active: float = 3.0, seed: int = 2026) -> Toy:
    """A random problem with features that are no closer to each other than needed."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n_features, d, generator=generator)
    features = features / features.norm(dim=1, keepdim=True)
    return Toy(features, n_active, 0.5 * torch.randn(d, generator=generator))


def recovered_cosine(features: Float[Tensor, "n d"], dictionary: Float[Tensor, "m d"]) -> float:
    """Mean over true features of the largest cosine with any dictionary row: 1 if all were found."""
    rows = dictionary / dictionary.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return (features @ rows.t()).amax(1).mean().item()
