"""One image with what is known about it: the unit in which every data source hands out images."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Item:
    """An image and its provenance.

    Attributes:
        image: RGB, upright, 8 bits per channel.
        id: unique within its source and stable between runs, e.g. a path relative to the folder.
        label: class name, if there is one.
        caption: a sentence about the image, if there is one.
        source: where it came from (folder, data set, `skimage:astronaut`), for the record.
        licence: licence of the image as the source states it; empty when unknown.
    """

    image: Image.Image
    id: str
    label: str | None = None
    caption: str | None = None
    source: str = ""
    licence: str = ""
