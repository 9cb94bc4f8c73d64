"""From images to coders: harvest activations, read them in shuffled batches, train, evaluate."""

from vitreous.training.batches import Batches
from vitreous.training.config import TrainConfig
from vitreous.training.evaluate import downstream_report, reconstruction_report
from vitreous.training.harvest import harvest
from vitreous.training.store import ActivationStore
from vitreous.training.stream import Stream
from vitreous.training.trainer import DivergedError, Trained, train

__all__ = [
    "ActivationStore",
    "Batches",
    "DivergedError",
    "Stream",
    "TrainConfig",
    "Trained",
    "downstream_report",
    "harvest",
    "reconstruction_report",
    "train",
]
