"""The complete codes of some images, for the image view: pick patches, see which latents fire there."""

import numpy as np

from vitreous.dashboards.example import Chosen
from vitreous.dashboards.record import ImageCodes
from vitreous.dashboards.source import Batch


class Explore:
    """Keeps all active latents of the images that stand most often among the top examples."""

    def __init__(self, top: Chosen, n: int):
        image, count = np.unique(top.image[top.image >= 0], return_counts=True)
        self.images = np.sort(image[np.argsort(-count, kind="stable")[:n]])
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(self, batch: Batch) -> None:
        """Keep what belongs to the chosen images."""
        image = batch.images[batch.slot].numpy()
        keep = np.isin(image, self.images)
        self._parts.append(
            (image[keep], batch.cell.numpy()[keep], batch.latent.numpy()[keep], batch.value.numpy()[keep])
        )

    def record(self, used: np.ndarray) -> ImageCodes | None:
        """The codes by picture number.

        Args:
            used: image index of every picture of the record.
        """
        if not len(self.images) or not self._parts:
            return None
        image, cell, latent, value = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        order = np.lexsort((latent, cell, image))
        start = np.searchsorted(image[order], np.append(self.images, np.iinfo(np.int64).max))
        picture = np.searchsorted(used, self.images).astype(np.int32)
        return ImageCodes(picture, start, cell[order].astype(np.int32), latent[order].astype(np.int32), value[order])
