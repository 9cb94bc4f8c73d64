"""A flat map of the latents. Distances in it mislead, so the page shows the true nearest neighbours beside it."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.dashboards.record import Projection
from vitreous.errors import MissingDependencyError, unknown

METHODS = ("pca", "tsne", "umap")
TSNE_LIMIT = 4096  # above it, "auto" takes PCA: t-SNE of 24,576 latents costs minutes


def project(directions: Float[Tensor, "latents d"], method: str = "auto", seed: int = 0) -> Projection:
    """Place latents on a plane by their unit-norm directions; every latent is placed, none is left out.

    Args:
        directions: one row per latent, usually `coder.W_dec`.
        method: "pca", "tsne" (scikit-learn, cosine distances), "umap" (needs umap-learn), or "auto": t-SNE for up to
            4,096 latents, else PCA.
        seed: of t-SNE and UMAP.

    Raises:
        UnknownNameError: a method that does not exist.
        MissingDependencyError: UMAP without umap-learn.
    """
    unit = torch.nn.functional.normalize(directions.detach().float(), dim=1).cpu()
    if method == "auto":
        method = "tsne" if 8 <= len(unit) <= TSNE_LIMIT else "pca"
    if method not in METHODS:
        raise unknown("projection", method, (*METHODS, "auto"))
    place, about = {"pca": _pca, "tsne": _tsne, "umap": _umap}[method](unit, seed)
    centred = place - (place.max(0) + place.min(0)) / 2
    return Projection((centred / max(float(np.abs(centred).max()), 1e-12)).astype(np.float32), about)


def _pca(unit: Tensor, seed: int) -> tuple[np.ndarray, str]:
    centred = unit - unit.mean(0)
    _, s, v = torch.linalg.svd(centred, full_matrices=False)
    share = float((s[:2] ** 2).sum() / (s**2).sum().clamp_min(1e-12))
    place = (centred @ v[:2].T).numpy()
    if place.shape[1] < 2:
        place = np.concatenate([place, np.zeros_like(place)], axis=1)[:, :2]
    return place, f"PCA of unit decoder directions; these two components hold {share:.0%} of the variance"


def _tsne(unit: Tensor, seed: int) -> tuple[np.ndarray, str]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(unit) - 1) / 3)
    start = _pca(unit, seed)[0]
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
    # on unit vectors squared Euclidean distance is 2 - 2 cosine: the neighbours are those by cosine
    with threadpool_limits(limits=1):  # the same map on any number of cores, and no waiting on a busy machine
        tsne = TSNE(perplexity=perplexity, init=start, learning_rate="auto", random_state=seed)  # type: ignore[arg-type]
        place = tsne.fit_transform(unit.numpy())
    return place, f"t-SNE of unit decoder directions, perplexity {perplexity:.0f}, seed {seed}"


def _umap(unit: Tensor, seed: int) -> tuple[np.ndarray, str]:
    try:
        import umap  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError("UMAP needs `pip install umap-learn`; or use projection='tsne'") from error
    place = umap.UMAP(metric="cosine", random_state=seed).fit_transform(unit.numpy())
    return np.asarray(place), f"UMAP of unit decoder directions, 15 neighbours, min_dist 0.1, seed {seed}"
