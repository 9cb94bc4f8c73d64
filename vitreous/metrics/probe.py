"""The ceiling for single units: a linear probe that may use all dimensions at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.metrics.detection import auroc, best_f1, f1


@dataclass(frozen=True)
class ProbeScores:
    """F1 and AUROC of one linear probe per factor, on the test rows; NaN where a split has one class only."""

    f1: Float[Tensor, " factors"]
    auroc: Float[Tensor, " factors"]


def linear_probes(
    fit_x: Float[Tensor, "rows d"],
    fit_truth: Bool[Tensor, "rows factors"],
    test_x: Float[Tensor, "test_rows d"],
    test_truth: Bool[Tensor, "test_rows factors"],
    *,
    max_rows: int = 10_000,
    strength: float = 1.0,
) -> ProbeScores:
    """Logistic regression per factor on standardised activations (scikit-learn, L2, lbfgs).

    The threshold for F1 is the best one on the fit rows.

    Args:
        fit_x: activations to fit on.
        fit_truth: factors there.
        test_x: activations to score on.
        test_truth: factors there.
        max_rows: fit on at most this many rows, evenly spaced.
        strength: inverse regularisation strength, scikit-learn's C.
    """
    from sklearn.linear_model import LogisticRegression

    if fit_x.shape[0] > max_rows:
        chosen = torch.linspace(0, fit_x.shape[0] - 1, max_rows).long()
        fit_x, fit_truth = fit_x[chosen], fit_truth[chosen]
    mean, std = fit_x.mean(0), fit_x.std(0).clamp_min(1e-6)
    fit_x, test_x = (fit_x - mean) / std, (test_x - mean) / std
    scores = []
    for factor in range(fit_truth.shape[1]):
        fit, test = fit_truth[:, factor], test_truth[:, factor]
        if not fit.any() or fit.all():
            scores.append((float("nan"), float("nan")))
            continue
        probe = LogisticRegression(C=strength, tol=1e-3, max_iter=1000)
        probe.fit(fit_x.numpy(), fit.numpy())
        _, threshold = best_f1(torch.from_numpy(probe.decision_function(fit_x.numpy())), fit)
        score = torch.from_numpy(probe.decision_function(test_x.numpy()))
        scores.append((float(f1(score >= threshold, test)), float(auroc(score, test))))
    table = torch.tensor(scores, dtype=torch.float64).view(-1, 2)
    return ProbeScores(table[:, 0], table[:, 1])
