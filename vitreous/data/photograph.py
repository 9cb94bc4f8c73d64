"""The sample photographs that scikit-image and scikit-learn carry in their wheels: real pictures without a download.

Only colour photographs whose licence the package states. The stereo motorcycle pair ships as well, with no word on its
licence, and is left out; cat, coffee and the rest of ``skimage.data`` that would need a download are not touched.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from PIL import Image

from vitreous.data.decoder import decode
from vitreous.data.item import Item
from vitreous.data.source import Items
from vitreous.errors import BadInputError, MissingDependencyError, unknown


@dataclass(frozen=True)
class Photograph:
    """One photograph inside an installed package.

    Attributes:
        name: short name, also its label.
        package: the package that ships it.
        file: path inside the package.
        caption: what it shows.
        licence: as the package's documentation states it.
    """

    name: str
    package: str
    file: str
    caption: str
    licence: str

    @property
    def path(self) -> Path:
        """Where it lies; the package is located, not imported."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependencyError(f"{self.package} is not installed; its sample photographs come with it")
        return Path(spec.submodule_search_locations[0]) / self.file

    @property
    def source(self) -> str:
        return f"{self.package}:{Path(self.file).stem}"


PHOTOGRAPHS = (
    Photograph(
        "astronaut",
        "skimage",
        "data/astronaut.png",
        "an astronaut in an orange suit before a flag",
        "public domain (NASA)",
    ),
    Photograph("cat", "skimage", "data/chelsea.png", "the face of a tabby cat", "CC0 (Stefan van der Walt)"),
    Photograph("coffee", "skimage", "data/coffee.png", "a cup of coffee on a wooden table", "CC0 (Rachel Michetti)"),
    Photograph("galaxies", "skimage", "data/hubble_deep_field.jpg", "galaxies on a black sky", "public domain (NASA)"),
    Photograph(
        "tissue", "skimage", "data/ihc.png", "stained tissue under a microscope", "no known copyright restrictions"
    ),
    Photograph("retina", "skimage", "data/retina.jpg", "a photograph of a human retina", "CC0 1.0 (Mikael Häggström)"),
    Photograph("rocket", "skimage", "data/rocket.jpg", "a rocket taking off at dusk", "public domain (SpaceX)"),
    Photograph(
        "temple",
        "sklearn",
        "datasets/images/china.jpg",
        "a Chinese temple among trees",
        "CC BY 2.0 (danielbuechele, Flickr)",
    ),
    Photograph("flower", "sklearn", "datasets/images/flower.jpg", "a dahlia in bloom", "CC BY 2.0 (vultilion, Flickr)"),
)
"""Every photograph, in the order in which :func:`photographs` yields them."""


def photographs(names: Sequence[str] | None = None) -> Items:
    """The sample photographs at full size; label and id are their names.

    Args:
        names: which; None takes all.
    """
    chosen = _chosen(names)
    return Items("skimage", range(len(chosen)), partial(_photograph, chosen), partial(_name, chosen))


def tiles(
    names: Sequence[str] | None = None,
    size: int = 96,
    sides: Sequence[int] = (96, 160, 256),
    stride: float = 0.5,
    limit: int | None = 200,
) -> Items:
    """Square crops of the sample photographs, at several scales, on a regular grid.

    An id such as ``cat@0,80,160,240`` is the photograph and the crop's box (x0, y0, x1, y1) in the photograph's pixels,
    x1 and y1 excluded; the label is the photograph's name.

    Args:
        names: which photographs; None takes all.
        size: pixels of a tile's side after resizing.
        sides: pixels of the crops' sides in the photograph; sides larger than a photograph are left out for it.
        stride: step between crops as a fraction of their side, in (0, 1].
        limit: at most this many tiles of one photograph, spread evenly over scales and positions; None for all.

    Raises:
        BadInputError: a size or stride out of range, or no crop fits.
    """
    if size < 1 or not sides or min(sides) < 1 or not 0 < stride <= 1 or (limit is not None and limit < 1):
        raise BadInputError(
            f"tiles need size >= 1, sides >= 1, 0 < stride <= 1 and limit >= 1; got size={size}, sides={tuple(sides)}, "
            f"stride={stride}, limit={limit}"
        )
    crops = []
    for photograph in _chosen(names):
        with Image.open(photograph.path) as image:  # reads the header only
            boxes = [box for side in sides for box in _boxes(image.size, side, stride)]
        crops += [(photograph, box) for box in _spread(boxes, limit)]
    if not crops:
        raise BadInputError(f"no photograph is large enough for crops of {min(sides)} pixels")
    return Items(
        "skimage tiles", range(len(crops)), partial(_tile, tuple(crops), size), partial(_tile_id, tuple(crops))
    )


Box = tuple[int, int, int, int]


def _chosen(names: Sequence[str] | None) -> tuple[Photograph, ...]:
    known = {photograph.name: photograph for photograph in PHOTOGRAPHS}
    for name in names or ():
        if name not in known:
            raise unknown("photograph", name, known)
    return PHOTOGRAPHS if names is None else tuple(known[name] for name in names)


def _boxes(size: tuple[int, int], side: int, stride: float) -> list[Box]:
    step = max(1, round(side * stride))
    width, height = size
    return [
        (x, y, x + side, y + side) for y in range(0, height - side + 1, step) for x in range(0, width - side + 1, step)
    ]


def _spread(boxes: list[Box], limit: int | None) -> list[Box]:
    """At most ``limit`` of the boxes, at even distances in the list."""
    if limit is None or len(boxes) <= limit:
        return boxes
    return [boxes[i * len(boxes) // limit] for i in range(limit)]


def _photograph(chosen: tuple[Photograph, ...], number: int) -> Item:
    photograph = chosen[number]
    image = decode(photograph.path, str(photograph.path))
    return Item(image, photograph.name, photograph.name, photograph.caption, photograph.source, photograph.licence)


def _name(chosen: tuple[Photograph, ...], number: int) -> str:
    return chosen[number].name


def _tile(crops: tuple[tuple[Photograph, Box], ...], size: int, number: int) -> Item:
    photograph, box = crops[number]
    whole = _decoded(photograph.path)
    image = whole.resize((size, size), Image.Resampling.BICUBIC, box=box)
    source = f"{photograph.source} crop {','.join(map(str, box))}"
    return Item(image, _tile_id(crops, number), photograph.name, None, source, photograph.licence)


def _tile_id(crops: tuple[tuple[Photograph, Box], ...], number: int) -> str:
    photograph, box = crops[number]
    return f"{photograph.name}@{','.join(map(str, box))}"


@lru_cache(maxsize=2)  # tiles of one photograph follow each other
def _decoded(path: Path) -> Image.Image:
    return decode(path, str(path))
