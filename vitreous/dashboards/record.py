"""What a dashboard shows, as plain data: numpy arrays, strings and pictures, with nothing about how they are drawn.

A `Record` is made by `collect`, or by hand from arrays of one's own; `render` turns it into a folder. All latents sit
in one array per fact, so that a dictionary of 24,576 latents is a few dozen arrays and not 24,576 objects. A fact that
was not measured is absent, never zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image

from vitreous.errors import BadInputError

Format = Literal["integer", "number", "share", "ratio", "category", "flag"]


@dataclass(frozen=True)
class Column:
    """One statistic of every latent: a sortable, filterable column of the overview.

    Attributes:
        name: identifier, unique in a record, e.g. `density`.
        title: heading.
        about: one sentence that says how the number is defined.
        values: one number per latent; NaN (or -1 for a category) where it is not defined.
        format: how to print it: `share` as a percentage, `ratio` as "3.1x", `category` as one of `names`.
        scale: axis of its histogram.
        names: the categories, when `format` is `category`.
    """

    name: str
    title: str
    about: str
    values: np.ndarray
    format: Format = "number"
    scale: Literal["linear", "log"] = "linear"
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heatmaps:
    """Activations over the cells of many examples, sparse: example e owns entries `start[e]:start[e + 1]`.

    Cells are numbered row-major over the patch grid, then come the tokens without a place (CLS, registers).
    """

    start: Int[np.ndarray, "examples_plus_one"]
    cell: Int[np.ndarray, "entries"]
    value: Float[np.ndarray, "entries"]

    def of(self, example: int) -> tuple[np.ndarray, np.ndarray]:
        """The active cells of one example and their activations."""
        part = slice(int(self.start[example]), int(self.start[example + 1]))
        return self.cell[part], self.value[part]


@dataclass(frozen=True)
class Group:
    """One kind of example (top, quantiles, non-activating, ...) of every latent.

    Attributes:
        picture: index into `Record.pictures`, -1 where a latent has fewer examples.
        peak: largest activation over the tokens of that image.
        band: what a row of the page says about each example (e.g. which quantile), as an index into `bands`; or None.
        heat: heatmaps in the order of `picture.ravel()`.
    """

    name: str
    title: str
    about: str
    picture: Int[np.ndarray, "latents k"]
    peak: Float[np.ndarray, "latents k"]
    heat: Heatmaps
    bands: tuple[str, ...] = ()
    band: Int[np.ndarray, "latents k"] | None = None


@dataclass(frozen=True)
class Histogram:
    """Counts of non-zero activations in equal bins over `[0, top]`, with the zeros counted apart."""

    top: Float[np.ndarray, "latents"]
    counts: Int[np.ndarray, "latents bins"]
    zero: Int[np.ndarray, "latents"]


@dataclass(frozen=True)
class Enrichment:
    """How often each latent fires where a class or factor holds: the counts behind lift, precision and recall.

    Attributes:
        unit: what was counted: "image" (the latent fires anywhere in it) or "patch".
        total: units looked at.
        present: units in which each name holds.
        active: units in which each latent fires.
        joint: units in which both hold.
    """

    kind: Literal["class", "factor"]
    unit: Literal["image", "patch"]
    names: tuple[str, ...]
    total: int
    present: Int[np.ndarray, "names"]
    active: Int[np.ndarray, "latents"]
    joint: Int[np.ndarray, "latents names"]


@dataclass(frozen=True)
class Neighbours:
    """The closest other latents under one measure, best first."""

    name: str
    title: str
    about: str
    index: Int[np.ndarray, "latents k"]
    score: Float[np.ndarray, "latents k"]


@dataclass(frozen=True)
class Region:
    """Something that is known to be in a picture.

    Attributes:
        name: what it is, e.g. "large red ring".
        mask: its pixels, at any resolution with the picture's aspect ratio.
    """

    name: str
    mask: Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Picture:
    """An image as the model saw it (None: only its heatmaps are shown), with its provenance and ground truth."""

    id: str
    image: Image.Image | None = None
    label: str | None = None
    caption: str | None = None
    source: str = ""
    licence: str = ""
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True)
class ImageCodes:
    """All active latents of some pictures, sparse: picture `picture[i]` owns entries `start[i]:start[i + 1]`."""

    picture: Int[np.ndarray, "pictures"]
    start: Int[np.ndarray, "pictures_plus_one"]
    cell: Int[np.ndarray, "entries"]
    latent: Int[np.ndarray, "entries"]
    value: Float[np.ndarray, "entries"]


@dataclass(frozen=True)
class Projection:
    """Latents on a plane, within [-1, 1]; `about` names method, parameters and seed."""

    place: Float[np.ndarray, "latents 2"]
    about: str


@dataclass(frozen=True)
class Comparison:
    """Another record beside this one, and for each latent of either the most similar one of the other."""

    title: str
    other: "Record"
    index: Int[np.ndarray, "latents"]
    score: Float[np.ndarray, "latents"]
    back_index: Int[np.ndarray, "others"]
    back_score: Float[np.ndarray, "others"]


@dataclass(frozen=True)
class Record:
    """Everything one dashboard shows.

    Attributes:
        header: provenance, shown in order: model, hook point, coder, data, counts, version, date, ...
        grid: rows and columns of patches.
        extra: names of the tokens without a place, numbered after the patches (`("CLS",)`).
        pictures: the images that any example refers to.
        columns: statistics of all latents.
        groups: examples.
        histogram: distribution of activations.
        position: mean activation per cell over all images.
        enrichments: class and factor tables.
        neighbours: nearest latents, one entry per measure.
        labels: names given to latents by a person or a method, by latent.
        codes: complete codes of some pictures, for the image view.
        projection: a flat map of the latents.
        comparison: a second record, for the compare view.
    """

    header: Mapping[str, str | int | float]
    grid: tuple[int, int]
    pictures: tuple[Picture, ...]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    histogram: Histogram | None = None
    position: Float[np.ndarray, "latents cells"] | None = None
    extra: tuple[str, ...] = ()
    enrichments: tuple[Enrichment, ...] = ()
    neighbours: tuple[Neighbours, ...] = ()
    labels: Mapping[int, str] = field(default_factory=dict)
    codes: ImageCodes | None = None
    projection: Projection | None = None
    comparison: Comparison | None = None

    def __post_init__(self) -> None:
        sizes = {f"column {c.name}": len(c.values) for c in self.columns}
        sizes |= {f"group {g.name}": len(g.picture) for g in self.groups}
        sizes |= {f"neighbours {m.name}": len(m.index) for m in self.neighbours}
        if not self.columns or len(set(sizes.values())) != 1:
            raise BadInputError(f"a record needs columns, and every part as many latents as the others; found {sizes}")
        names = [c.name for c in self.columns]
        if len(set(names)) != len(names):
            raise BadInputError(f"column names must differ, found {names}")
        for group in self.groups:
            if group.picture.size and int(group.picture.max()) >= len(self.pictures):
                raise BadInputError(
                    f"group {group.name} refers to picture {int(group.picture.max())}; "
                    f"the record has {len(self.pictures)}"
                )

    @property
    def n_latents(self) -> int:
        return len(self.columns[0].values)

    @property
    def n_cells(self) -> int:
        return self.grid[0] * self.grid[1] + len(self.extra)

    def column(self, name: str) -> Column:
        """The column of that name; KeyError when it was not measured."""
        return next((c for c in self.columns if c.name == name), None) or self._missing(name)

    def _missing(self, name: str) -> Column:
        raise KeyError(f"no column {name!r}; the record has {[c.name for c in self.columns]}")
