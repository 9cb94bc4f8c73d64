"""How the inputs of a coder were scaled: an explicit record, applied at run time or folded into the weights.

Every scheme here is affine per dimension, ``x_n = (x - shift) * scale``, and is undone on the output.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import BadInputError, unknown

ShiftScale = tuple[Float[Tensor, " d"], Float[Tensor, " d"]]


def _none(x: Float[Tensor, "rows d"]) -> ShiftScale:
    return torch.zeros_like(x[0]), torch.ones_like(x[0])


def _expected_norm(x: Float[Tensor, "rows d"]) -> ShiftScale:
    """One factor for all dimensions, so that the mean norm of a row becomes sqrt(d)."""
    scale = x.shape[1] ** 0.5 / x.double().norm(dim=1).mean()
    return torch.zeros_like(x[0]), torch.full_like(x[0], float(scale))


def _standardise(x: Float[Tensor, "rows d"]) -> ShiftScale:
    """Mean 0 and (unbiased) standard deviation 1 in every dimension; a constant dimension keeps its scale."""
    std = x.double().std(dim=0)
    return x.double().mean(0).to(x), torch.where(std > 1e-8, 1 / std, 1.0).to(x)


NORMALISATIONS: dict[str, Callable[[Tensor], ShiftScale]] = {
    "none": _none,
    "expected-norm": _expected_norm,
    "standardise": _standardise,
}


@dataclass(frozen=True)
class Normalisation:
    """The record on a coder: which scheme, and whether it still has to be applied.

    Attributes:
        kind: a name in `NORMALISATIONS`.
        folded: the scheme was folded into the weights, which now read raw activations.
    """

    kind: str = "none"
    folded: bool = False

    def __post_init__(self) -> None:
        if self.kind not in NORMALISATIONS:
            raise unknown("normalisation", self.kind, NORMALISATIONS)


def shift_and_scale(kind: str, sample: Float[Tensor, "rows d"]) -> ShiftScale:
    """Estimate ``(shift, scale)`` of a scheme from sample rows.

    Raises:
        BadInputError: fewer than two rows, or non-finite values.
    """
    if sample.shape[0] < 2 or not torch.isfinite(sample).all():
        raise BadInputError(f"normalisation {kind!r} needs at least 2 finite rows, got shape {tuple(sample.shape)}")
    return NORMALISATIONS[kind](sample.float())
