"""Detection scores by exhaustion."""


def f1_of(predicted, truth):
    hits = sum(p and t for p, t in zip(predicted, truth, strict=True))
    wrong = sum(p and not t for p, t in zip(predicted, truth, strict=True))
    missed = sum(t and not p for p, t in zip(predicted, truth, strict=True))
    return 2 * hits / (2 * hits + wrong + missed)


def best_f1_of(scores, truth):
    """Try every score as the threshold."""
    return max(f1_of([s >= t for s in scores], truth) for t in scores)


def auroc_of(scores, truth):
    """Compare every true row with every false one."""
    true = [s for s, t in zip(scores, truth, strict=True) if t]
    false = [s for s, t in zip(scores, truth, strict=True) if not t]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in true for b in false)
    return wins / (len(true) * len(false))


def best_unit_of(scores, truth, signs):
    """The best F1 over units, signs and thresholds."""
    return max(
        best_f1_of([sign * s for s in scores[:, u].tolist()], truth) for u in range(scores.shape[1]) for sign in signs
    )
