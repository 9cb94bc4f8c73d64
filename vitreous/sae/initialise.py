"""Starting points taken from data: the decoder bias and the constants of the normalisation."""

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import unknown
from vitreous.sae.coder import SparseCoder
from vitreous.sae.normalisation import shift_and_scale


def mean(x: Float[Tensor, "rows d"]) -> Float[Tensor, " d"]:
    """The mean row, summed in float64."""
    return x.double().mean(0).to(x)


def geometric_median(x: Float[Tensor, "rows d"], steps: int = 100, tolerance: float = 1e-6) -> Float[Tensor, " d"]:
    """The point with the smallest sum of distances to all rows, by Weiszfeld's iteration.

    Unlike the mean it hardly moves when a few rows (massive-activation tokens) are huge.

    Args:
        x: rows.
        steps: at most this many iterations.
        tolerance: stop when the point moves by less than this fraction of the median distance.
    """
    points = x.double()
    centre = points.mean(0)
    for _ in range(steps):
        distance = (points - centre).norm(dim=1)
        weight = 1 / distance.clamp_min(1e-12)
        new = (weight[:, None] * points).sum(0) / weight.sum()
        moved = (new - centre).norm()
        centre = new
        if moved <= tolerance * distance.median():
            break
    return centre.to(x)


CENTRES = {"mean": mean, "geometric-median": geometric_median}


@torch.no_grad()
def start_from_data(
    coder: SparseCoder,
    x: Float[Tensor, "rows d_in"],
    y: Float[Tensor, "rows d_out"] | None = None,
    centre: str = "geometric-median",
) -> None:
    """Set the normalisation constants, then `b_dec` to the centre of the (normalised) targets, in place.

    Args:
        coder: a fresh coder.
        x: sample of raw inputs; some thousands of rows.
        y: sample of raw targets of a transcoder; the inputs otherwise.
        centre: "mean", "geometric-median" or "zero".
    """
    if centre != "zero" and centre not in CENTRES:
        raise unknown("centre", centre, [*CENTRES, "zero"])
    x = x.to(coder.W_enc)
    y = x if y is None else y.to(coder.W_enc)
    kind = coder.normalisation.kind
    for side, rows in [("in", x), ("out", y)] if coder.is_transcoder else [("in", x)]:
        shift, scale = shift_and_scale(kind, rows)
        coder.get_buffer(f"{side}_shift").copy_(shift)
        coder.get_buffer(f"{side}_scale").copy_(scale)
    if centre != "zero":
        coder.b_dec.copy_(CENTRES[centre](coder.normalise_target(y)))
