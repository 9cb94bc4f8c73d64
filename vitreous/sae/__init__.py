"""Sparse dictionaries of activations. Knows nothing of models: activations in, codes and reconstructions out."""

from vitreous.sae.activation import ACTIVATIONS, TopK
from vitreous.sae.coder import SparseCoder
from vitreous.sae.codes import Codes
from vitreous.sae.fold import fold_decoder_norm, fold_normalisation
from vitreous.sae.initialise import geometric_median, start_from_data
from vitreous.sae.normalisation import Normalisation
from vitreous.sae.objective import Loss, loss

__all__ = [
    "ACTIVATIONS",
    "Codes",
    "Loss",
    "Normalisation",
    "SparseCoder",
    "TopK",
    "fold_decoder_norm",
    "fold_normalisation",
    "geometric_median",
    "loss",
    "start_from_data",
]
