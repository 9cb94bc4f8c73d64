"""How well a score detects a yes/no truth: F1, AUROC, and the threshold with the best F1."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def f1(predicted: Bool[Tensor, " rows"], truth: Bool[Tensor, " rows"]) -> Float[Tensor, ""]:
    """``2 TP / (2 TP + FP + FN)``: harmonic mean of precision and recall. NaN if nothing is true.

    >>> round(f1(torch.tensor([True, True, False]), torch.tensor([True, False, True])).item(), 3)
    0.5
    """
    hits = (predicted & truth).sum().double()
    total = predicted.sum() + truth.sum()
    return 2 * hits / total if truth.any() else hits.new_tensor(float("nan"))


def auroc(score: Float[Tensor, " rows"], truth: Bool[Tensor, " rows"]) -> Float[Tensor, ""]:
    """Probability that a random true row scores above a random false one, ties counting half.

    ``(R - P (P + 1) / 2) / (P N)`` with R the sum of the true rows' (tie-averaged) ranks. Exact. NaN with one class.

    >>> auroc(torch.tensor([0.1, 0.4, 0.4, 0.9]), torch.tensor([False, False, True, True])).item()
    0.875
    """
    ranks = average_ranks(score)
    positives = truth.sum().double()
    negatives = truth.numel() - positives
    return (ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives)


def average_ranks(score: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    """Ranks 1, 2, ... in ascending order; equal scores share the mean of their ranks."""
    _, place, counts = score.unique(sorted=True, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[place]


def best_f1(score: Float[Tensor, " rows"], truth: Bool[Tensor, " rows"]) -> tuple[float, float]:
    """The best F1 of ``score >= threshold`` over all thresholds, and that threshold. Exact, by sorting.

    The threshold lies halfway between the lowest score that is still called true and the next lower one.

    >>> best_f1(torch.tensor([0.0, 1.0, 2.0, 4.0]), torch.tensor([False, False, True, True]))
    (1.0, 1.5)
    """
    ordered, order = score.sort(descending=True)
    hits = truth[order].cumsum(0).double()
    called = torch.arange(1, len(score) + 1, dtype=torch.float64)
    values = 2 * hits / (called + hits[-1])
    values[:-1][ordered[:-1] == ordered[1:]] = -1.0  # a threshold cannot separate equal scores
    best = int(values.argmax())
    low, below = float(ordered[best]), float(ordered[best + 1]) if best + 1 < len(score) else float("-inf")
    return float(values[best]), _between(low, below)


def _between(high: float, low: float) -> float:
    """A float32 in ``(low, high]`` near the middle."""
    if low == float("-inf"):
        return high
    middle = torch.tensor((high + low) / 2, dtype=torch.float32).item()
    return middle if low < middle <= high else high
