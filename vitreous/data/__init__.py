"""Images in: procedural scenes with ground truth, photographs, image folders and Hugging Face data sets."""

from vitreous.data.item import Item
from vitreous.data.scenes import Scene, Scenes, patch_factors

__all__ = ["Item", "Scene", "Scenes", "patch_factors"]
