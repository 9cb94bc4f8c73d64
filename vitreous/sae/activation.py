"""The activations of a coder: tiny frozen records, each with its own parameters and its own selection rule.

A *selecting* activation (``sparse = True``) says which latents of a row are active and keeps their rectified
pre-activations, so that everything after the encoder product can work on the active latents alone.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitreous.errors import BadInputError, unknown
from vitreous.sae.select import top_k


@dataclass(frozen=True)
class TopK:
    """Keep the k largest pre-activations of every row, rectified: ``z = relu(h) * [h among the k largest]``.

    A row with fewer than k positive pre-activations has fewer than k active latents; no negative value survives.
    Gao et al., "Scaling and evaluating sparse autoencoders" (2024).

    Attributes:
        k: active latents per row, at least 1.
    """

    k: int = 32
    sparse: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInputError(f"TopK(k={self.k}): k must be at least 1")

    def select(self, pre: Float[Tensor, "b n"]) -> Int[Tensor, "b k"]:
        """Indices of the latents that stay, in no particular order."""
        return top_k(pre, min(self.k, pre.shape[-1]))[1]

    def dense(self, pre: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """The same codes as a dense differentiable function of the pre-activations: the slow twin."""
        return torch.relu(pre) * torch.zeros_like(pre).scatter(1, self.select(pre.detach()), 1.0)


Activation = TopK
ACTIVATIONS: dict[str, type[Activation]] = {"TopK": TopK}


def to_dict(activation: Activation) -> dict[str, Any]:
    """The record as JSON-ready data.

    >>> to_dict(TopK(k=8))
    {'kind': 'TopK', 'k': 8}
    """
    return {"kind": type(activation).__name__, **asdict(activation)}


def from_dict(data: dict[str, Any]) -> Activation:
    """The inverse of `to_dict`.

    Raises:
        UnknownNameError: the kind is not in `ACTIVATIONS`.
        BadInputError: a parameter is missing, unknown or out of range.
    """
    fields = dict(data)
    kind = fields.pop("kind", "")
    if kind not in ACTIVATIONS:
        raise unknown("activation", str(kind), ACTIVATIONS)
    try:
        return ACTIVATIONS[kind](**fields)
    except TypeError as error:
        raise BadInputError(f"activation {kind}: {error}") from None
