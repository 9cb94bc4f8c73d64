"""From counts to how much a latent says about a class or factor: lift, precision, recall, F1, and their uncertainty."""

import numpy as np
from jaxtyping import Float

from vitreous.dashboards.record import Column, Enrichment

Z95 = 1.959963984540054
PLURAL = {"image": "images", "patch": "patches"}


def wilson(hits: np.ndarray, n: np.ndarray, z: float = Z95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion (Wilson 1927); (0, 1) where nothing was counted.

    >>> low, high = wilson(np.array([8]), np.array([10]))
    >>> round(float(low[0]), 3), round(float(high[0]), 3)
    (0.49, 0.943)
    """
    hits, n = np.broadcast_arrays(np.asarray(hits, float), np.asarray(n, float))
    some = np.maximum(n, 1)
    p = hits / some
    middle = (p + z * z / (2 * some)) / (1 + z * z / some)
    half = z / (1 + z * z / some) * np.sqrt(p * (1 - p) / some + z * z / (4 * some * some))
    return np.where(n > 0, np.clip(middle - half, 0, 1), 0.0), np.where(n > 0, np.clip(middle + half, 0, 1), 1.0)


def lift(table: Enrichment) -> Float[np.ndarray, "latents names"]:
    """P(name | latent fires) / P(name): 1 means the latent says nothing about it; NaN where nothing was counted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return table.joint * float(table.total) / (table.active[:, None] * table.present[None].astype(float))


def lift_lower(table: Enrichment) -> Float[np.ndarray, "latents names"]:
    """The lower end of lift's 95% interval, by which classes are ranked: few hits cannot win by luck."""
    low, _ = wilson(table.joint, np.broadcast_to(table.active[:, None], table.joint.shape))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(table.present[None] > 0, low * table.total / table.present[None], 0.0)


def f1(table: Enrichment) -> Float[np.ndarray, "latents names"]:
    """The F1 score of "the latent fires" as a detector of each name."""
    both = table.active[:, None] + table.present[None]
    return 2 * table.joint / np.maximum(both, 1)


def best(table: Enrichment, k: int) -> list[np.ndarray]:
    """Per latent, the names worth listing: the union of the k best by F1 and by lower lift, best F1 first."""
    score, lower = f1(table), lift_lower(table)
    chosen = []
    for row in range(len(score)):
        by_f1 = np.argsort(-score[row], kind="stable")[:k]
        by_lift = np.argsort(-lower[row], kind="stable")[:k]
        union = np.unique(np.concatenate([by_f1, by_lift]))
        union = union[table.joint[row, union] > 0]
        chosen.append(union[np.argsort(-score[row, union], kind="stable")])
    return chosen


def columns(table: Enrichment) -> tuple[Column, Column]:
    """The best name of every latent, and how good it is, as columns of the overview."""
    score = f1(table) if table.kind == "factor" else lift_lower(table)
    top = score.argmax(axis=1) if score.shape[1] else np.zeros(len(score), int)
    hit = np.array([table.joint[i, j] > 0 for i, j in enumerate(top)], bool) if score.shape[1] else score.any(axis=1)
    name = Column(
        name=table.kind,
        title=f"Best {table.kind}",
        about=f"The {table.kind} that the latent detects best.",
        values=np.where(hit, top, -1).astype(np.int32),
        format="category",
        names=table.names,
    )
    value = score[np.arange(len(score)), top] if score.shape[1] else np.zeros(len(score))
    value = np.where(hit, value, np.nan).astype(np.float32)
    if table.kind == "factor":
        units = f"{table.total:,} {PLURAL[table.unit]}"
        about = f"F1 of 'the latent fires' as a detector of its best factor, counted over {units}."
        return name, Column("factor_f1", "F1", about, value)
    about = "Lift of its best class, lower end of the 95% interval: P(class | fires) / P(class)."
    return name, Column("class_lift", "Lift", about, value, format="ratio", scale="log")
