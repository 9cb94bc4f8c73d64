"""Factor recovery: how well the best single unit of a score matrix detects each ground-truth factor.

For every factor the unit (latent, neuron, direction) and the threshold are chosen on one split and scored on another.
F1 asks for a unit that fires for the factor and for nothing else; AUROC only for the right order, which flatters dense
directions. Report both.

The search over units is exact for F1 and near exact for AUROC, without ever sorting all units: scores are first
counted in about 200 bins per unit, which gives lower and upper bounds of every (unit, factor) pair's best F1; then
units are sorted, best upper bound first, until no bound exceeds the best exact value found.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitreous.errors import BadInputError
from vitreous.metrics.detection import auroc, best_f1, f1

SAMPLE = 4096  # rows from which bin edges are estimated; any edges give valid bounds
CHUNK = 32  # units that are counted together


@dataclass(frozen=True)
class Recovery:
    """One entry per factor. NaN where a split has no true (or no false) row.

    Attributes:
        f1: on the test rows, with `unit`, `sign` and `threshold` from the fit rows.
        fit_f1: the best F1 on the fit rows.
        unit: the unit with the best F1 on the fit rows; -1 if there is none.
        sign: +1 or -1: the rule is ``sign * score >= threshold``.
        threshold: of the rule.
        auroc: on the test rows, of the unit with the best AUROC on the fit rows.
        auroc_unit: that unit.
        base_rate: fraction of test rows in which the factor is true.
    """

    f1: Float[Tensor, " factors"]
    fit_f1: Float[Tensor, " factors"]
    unit: Int[Tensor, " factors"]
    sign: Int[Tensor, " factors"]
    threshold: Float[Tensor, " factors"]
    auroc: Float[Tensor, " factors"]
    auroc_unit: Int[Tensor, " factors"]
    base_rate: Float[Tensor, " factors"]


@dataclass(frozen=True)
class Bounds:
    """For every (sign, unit, factor): bounds of the best F1, and the AUROC with ties inside a bin counted half."""

    low: Float[Tensor, "signs units factors"]
    high: Float[Tensor, "signs units factors"]
    auroc: Float[Tensor, "signs units factors"]


def factor_recovery(
    fit_scores: Float[Tensor, "rows units"],
    fit_truth: Bool[Tensor, "rows factors"],
    test_scores: Float[Tensor, "test_rows units"],
    test_truth: Bool[Tensor, "test_rows factors"],
    *,
    signed: bool = False,
) -> Recovery:
    """Choose a unit and a threshold per factor on the fit rows and score them on the test rows.

    Args:
        fit_scores: score of every unit on every fit row (for a coder: its dense codes).
        fit_truth: which factors are true on which fit rows.
        test_scores: the same units on other rows (of other images, for patches).
        test_truth: the factors there.
        signed: let a unit detect by low scores, too; for dense directions, whose sign is arbitrary.

    Raises:
        BadInputError: shapes do not fit, or a score is not finite.
    """
    _check(fit_scores, fit_truth, test_scores, test_truth)
    bounds = binned_bounds(fit_scores, fit_truth, signed=signed)
    columns: list[tuple[float, ...]] = []  # in the order of the fields of Recovery
    for factor in range(fit_truth.shape[1]):
        fit, test = fit_truth[:, factor], test_truth[:, factor]
        if not fit.any() or fit.all():
            columns.append(
                (float("nan"), float("nan"), -1, 1, float("nan"), float("nan"), -1, float(test.double().mean()))
            )
            continue
        value, unit, sign, threshold = search(fit_scores, fit, bounds.low[:, :, factor], bounds.high[:, :, factor])
        test_f1 = f1(sign * test_scores[:, unit] >= threshold, test)
        flat = int(bounds.auroc[:, :, factor].argmax())
        ranking = 1 - 2 * (flat // fit_scores.shape[1])
        by_order = flat % fit_scores.shape[1]
        area = auroc(ranking * test_scores[:, by_order], test)
        scored = (float(test_f1), value, unit, sign, threshold, float(area), by_order)
        columns.append((*scored, float(test.double().mean())))
    as_float, as_int = torch.tensor(columns, dtype=torch.float64).t(), torch.long
    return Recovery(
        f1=as_float[0],
        fit_f1=as_float[1],
        unit=as_float[2].to(as_int),
        sign=as_float[3].to(as_int),
        threshold=as_float[4],
        auroc=as_float[5],
        auroc_unit=as_float[6].to(as_int),
        base_rate=as_float[7],
    )


def search(
    scores: Float[Tensor, "rows units"],
    truth: Bool[Tensor, " rows"],
    low: Float[Tensor, "signs units"],
    high: Float[Tensor, "signs units"],
) -> tuple[float, int, int, float]:
    """The exactly best ``(F1, unit, sign, threshold)``, sorting only units whose upper bound can still win."""
    order = high.flatten().sort(descending=True)
    floor = float(low.max()) - 1e-12
    best: tuple[float, int, int, float] = (-1.0, -1, 1, float("nan"))
    for bound, flat in zip(order.values.tolist(), order.indices.tolist(), strict=True):
        if bound < max(best[0], floor):
            break
        unit, sign = flat % scores.shape[1], 1 - 2 * (flat // scores.shape[1])
        value, threshold = best_f1(sign * scores[:, unit], truth)
        if value > best[0]:
            best = (value, unit, sign, threshold)
    return best


def binned_bounds(
    scores: Float[Tensor, "rows units"], truth: Bool[Tensor, "rows factors"], *, signed: bool = False
) -> Bounds:
    """Count scores in bins, unit by unit, and bound what any threshold can reach.

    Memory: ``32 x (rows + true entries)`` integers beside the result.

    Cutting between two bin edges with ``n1 < n2`` rows and ``t1 <= t2`` hits above them selects at best the missing
    ``t2 - t1`` hits and nothing else: ``F1 <= 2 t2 / (n1 + t2 - t1 + P)``.
    """
    rows, units = scores.shape
    where, which = truth.nonzero(as_tuple=True)
    positives = truth.sum(0).double()
    shape = (2 if signed else 1, units, truth.shape[1])
    low, high, area = (torch.empty(shape, dtype=torch.float64) for _ in range(3))
    ranks = _edge_ranks(min(rows, SAMPLE))
    chosen = torch.linspace(0, rows - 1, min(rows, SAMPLE)).long()
    for start in range(0, units, CHUNK):
        part = slice(start, start + CHUNK)
        columns = scores[:, part].t().contiguous()
        edges = columns[:, chosen].sort(dim=1).values[:, ranks]
        edges = torch.cat([edges, _next(edges)], dim=1).sort(dim=1).values  # so that equal scores get their own bin
        bins = torch.searchsorted(edges, columns, right=True, out_int32=True)
        whole = torch.zeros(edges.shape[0], edges.shape[1] + 1, dtype=torch.bool)  # bins that hold one value
        whole[:, 1:-1] = edges[:, 1:] <= _next(edges[:, :-1])
        counts = (*_counts(bins, edges.shape[1] + 1, where, which, truth.shape[1]), whole)
        for i in range(shape[0]):
            rows_in, hits_in, single = (c.flip(1) for c in counts) if i == 0 else counts
            low[i, part], high[i, part], area[i, part] = _bounds_of(rows_in, hits_in, single, positives)
    return Bounds(low, high, area)


def _counts(bins: Tensor, n_bins: int, where: Tensor, which: Tensor, n_factors: int) -> tuple[Tensor, Tensor]:
    """Rows per bin [units, bins] and true rows per bin [units, bins, factors]; `where`, `which` list the true ones."""
    units = bins.shape[0]
    bins = bins + n_bins * torch.arange(units, dtype=bins.dtype)[:, None]
    rows_in = torch.bincount(bins.flatten(), minlength=units * n_bins)
    true_bins = bins.index_select(1, where).mul_(n_factors).add_(which.to(bins.dtype))
    hits_in = torch.bincount(true_bins.flatten(), minlength=units * n_bins * n_factors)
    return rows_in.view(units, n_bins).double(), hits_in.view(units, n_bins, n_factors).double()


def _bounds_of(
    rows_in: Float[Tensor, "units bins"],
    hits_in: Float[Tensor, "units bins factors"],
    whole: Bool[Tensor, "units bins"],
    positives: Float[Tensor, " factors"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Bounds of F1 and the AUROC from counts per bin, bins in the order in which a falling threshold admits them."""
    rows_in = rows_in[:, :, None]
    called, hits = rows_in.cumsum(1), hits_in.cumsum(1)
    low = 2 * hits / (called + positives)
    high = 2 * hits / (called - rows_in + hits_in + positives)
    high = torch.where(whole[:, :, None], low, high).amax(1)
    pairs = (rows_in - hits_in) * (hits - hits_in / 2)
    return low.amax(1), high, pairs.sum(1) / (positives * (rows_in.sum(1) - positives))


def _next(x: Tensor) -> Tensor:
    """The next larger float."""
    return torch.nextafter(x, torch.full_like(x, float("inf")))


def _edge_ranks(n: int) -> Tensor:
    """Which order statistics of n sampled scores serve as bin edges: dense at both ends, even in the middle."""
    tail = torch.logspace(0, torch.tensor(float(n)).log10().item(), 40).long().clamp(1, n) - 1
    return torch.cat([tail, n - 1 - tail, torch.linspace(0, n - 1, 32).long()]).unique()


def _check(fit_scores: Tensor, fit_truth: Tensor, test_scores: Tensor, test_truth: Tensor) -> None:
    for scores, truth, split in [(fit_scores, fit_truth, "fit"), (test_scores, test_truth, "test")]:
        if scores.shape[0] != truth.shape[0] or scores.shape[0] == 0:
            raise BadInputError(f"{split}: {scores.shape[0]} rows of scores and {truth.shape[0]} of truth")
        if not torch.isfinite(scores).all():
            raise BadInputError(f"{split}: scores hold NaN or infinity")
