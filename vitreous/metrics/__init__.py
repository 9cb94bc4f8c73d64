"""Pure functions, tensors in, tensor out; one definition each, named in its docstring."""

from vitreous.metrics.detection import auroc, best_f1, f1
from vitreous.metrics.directions import pca_directions, random_directions
from vitreous.metrics.downstream import accuracy, cross_entropy, recovered
from vitreous.metrics.factors import Recovery, factor_recovery
from vitreous.metrics.probe import ProbeScores, linear_probes
from vitreous.metrics.reconstruction import cosine, fvu, mse
from vitreous.metrics.sparsity import dead_fraction, density, density_histogram, fire_counts, l0

__all__ = [
    "ProbeScores",
    "Recovery",
    "accuracy",
    "auroc",
    "best_f1",
    "cosine",
    "cross_entropy",
    "dead_fraction",
    "density",
    "density_histogram",
    "f1",
    "factor_recovery",
    "fire_counts",
    "fvu",
    "l0",
    "linear_probes",
    "mse",
    "pca_directions",
    "random_directions",
    "recovered",
]
