"""Codes: the active latents of every row, as values and indices."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """The output of a coder's encoder.

    Unused places hold the value 0 at any valid index, so rows may have different numbers of active latents. An index
    occurs at most once per row with a non-zero value.

    Attributes:
        values: activations of the latents named by `indices`, 0 where a place is unused.
        indices: which latents, int64 in ``0 .. n_latents - 1``.
        n_latents: width of the dictionary.
    """

    values: Float[Tensor, "*batch width"]
    indices: Int[Tensor, "*batch width"]
    n_latents: int

    def dense(self) -> Float[Tensor, "*batch n"]:
        """The codes as a dense tensor, zero where a latent is inactive.

        >>> Codes(torch.tensor([[2.0, 0.0]]), torch.tensor([[1, 0]]), 3).dense()
        tensor([[0., 2., 0.]])
        """
        zeros = self.values.new_zeros(*self.values.shape[:-1], self.n_latents)
        return zeros.scatter_add(-1, self.indices, self.values)

    def l0(self) -> Float[Tensor, "*batch"]:
        """Number of non-zero latents of every row."""
        return (self.values != 0).sum(-1).to(self.values.dtype)


def from_dense(z: Float[Tensor, "*batch n"]) -> Codes:
    """The non-zero latents of dense codes; the width is the largest number of active latents of any row.

    >>> from_dense(torch.tensor([[0.0, 2.0, 0.0]])).indices
    tensor([[1]])
    """
    active = z != 0
    width = max(1, int(active.sum(-1).max())) if z.numel() else 1
    indices = active.to(torch.int8).topk(width, dim=-1).indices
    return Codes(z.gather(-1, indices), indices, z.shape[-1])
