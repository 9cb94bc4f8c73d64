"""From a coder and an activation store to a record, in bounded memory.

The store is read once for everything that can be kept as a running statistic of all latents: densities, histograms,
mean position maps, class and factor counts, the top images and a uniform sample of the images in which a latent fires.
Then the chosen images alone (at most examples x latents, mostly far fewer) are encoded again for their heatmaps, with
the coder's own `encode`, so that normalisation and top-k are those of the coder and not an imitation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from vitreous.dashboards import enrichment, example
from vitreous.dashboards.explore import Explore
from vitreous.dashboards.header import header_of
from vitreous.dashboards.neighbour import decoder_neighbours, encoder_neighbours
from vitreous.dashboards.picture import pictures_of
from vitreous.dashboards.projection import project
from vitreous.dashboards.record import Record, Region
from vitreous.dashboards.source import batches, rows_of
from vitreous.dashboards.tally import Tally
from vitreous.data.item import Item
from vitreous.data.source import Source
from vitreous.errors import BadInputError, unknown


def collect(
    coder: Any,
    store: Any,
    images: Source | Mapping[str, Item] | None = None,
    *,
    point: str | None = None,
    labels: Sequence[str | None] | None = None,
    factors: Mapping[str, Bool[np.ndarray, "images rows cols"]] | None = None,
    view: Callable[[Image.Image], Image.Image] | None = None,
    top: int = 18,
    per_group: int = 8,
    neighbours: int = 8,
    explore: int = 160,
    regions: Callable[[str], Sequence[Region]] | None = None,
    projection: str | None = "auto",
    thumbnail: int = 128,
    batch: int = 64,
    seed: int = 0,
    names: Mapping[int, str] | None = None,
    header: Mapping[str, str | int | float] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Record:
    """Measure every latent of a coder on a store of activations.

    Memory is bounded by `latents x (top + samples + bins + cells + classes + factors)` numbers and by the thumbnails,
    whatever the number of images.

    Args:
        coder: anything with `encode(x)` (codes with `values` and `indices`, or a dense tensor), `n_latents` and, for
            neighbours, `W_dec`.
        store: an activation store; the rows of one image must be contiguous, as `harvest` writes them.
        images: the items that were harvested, in any order and possibly more of them: they are matched by `id`.
            None makes a dashboard without pictures.
        point: hook point to read; the coder's own, or the only one of the store, when None.
        labels: class of each image of the store, in the order of `store.image_ids`; the store's own when None.
        factors: for every named factor, the patches of every image in which it holds.
        view: from an item's image to what the model saw of it (resized, cropped), so that heatmaps lie where they
            belong: `lambda image: model.unprocess(model.preprocess(image))[0]`. None shows the image as it is.
        top: top images per latent.
        per_group: examples in each other group (quantiles, uniform sample, near misses, silent images).
        neighbours: nearest latents to list.
        explore: images of which all active latents are kept, for the image view; those that stand most often among the
            top images are taken.
        regions: from an image's id to what is known to be where in it, for overlays and IoU.
        projection: method of the map ("pca", "tsne", "umap", "auto"; None for no map).
        thumbnail: longest side of the stored pictures in pixels; smaller images are kept as they are.
        batch: images encoded at a time.
        seed: of the uniform sample and of the silent images.
        names: names already given to latents.
        header: more facts for the provenance header (data, model, ...), shown before those read from coder and store.
        progress: called with (what, done, total).

    Returns:
        The record, ready for `render`.

    Raises:
        BadInputError: an empty store, labels or factors of the wrong length.
        UnknownNameError: a hook point that the store does not hold.
    """
    point = _point(coder, store, point)
    rows = rows_of(store)
    labels = labels if labels is not None else getattr(store, "labels", None)
    tally = Tally(int(coder.n_latents), rows, len(store.image_ids), labels, factors, top, 6 * per_group, seed)
    report = progress or (lambda what, done, total: None)
    for done, part in enumerate(batches(coder, store, point, rows, n_images=batch)):
        tally.add(part)
        report("statistics", min((done + 1) * batch, len(rows.images)), len(rows.images))
    if tally.n_active == 0:
        raise BadInputError(f"no latent of the coder fires on any of the {tally.n_tokens:,} rows read from {point!r}")

    near = []
    if hasattr(coder, "W_dec"):
        near = [decoder_neighbours(coder.W_dec, neighbours), encoder_neighbours(coder.W_enc, neighbours)]
    chosen = example.choose(tally, near[0].index if near else None, per_group, seed)
    heat, codes = example.Heat(chosen, tally.n_latents), Explore(chosen[0], explore)
    wanted = np.flatnonzero(np.isin(rows.images, heat.images))
    for done, part in enumerate(batches(coder, store, point, rows, n_images=batch, only=wanted)):
        heat.add(part)
        codes.add(part)
        report("heatmaps", min((done + 1) * batch, len(wanted)), len(wanted))

    groups, used = example.groups(chosen, heat)
    tables = tally.enrichments()
    return Record(
        header=header_of(coder, store, point, rows, tally, header or {}),
        grid=rows.grid,
        extra=rows.extra,
        pictures=pictures_of(store.image_ids, used, images, labels, view, regions, thumbnail, report),
        columns=(*tally.columns(near), *(c for t in tables for c in enrichment.columns(t))),
        groups=groups,
        histogram=tally.histogram_record(),
        position=tally.mean_position(),
        enrichments=tables,
        neighbours=tuple(near),
        labels=dict(names or {}),
        codes=codes.record(used),
        projection=project(coder.W_dec, projection, seed) if near and projection else None,
    )


def _point(coder: Any, store: Any, point: str | None) -> str:
    """The hook point to read: the one asked for, the coder's, or the only one there is."""
    points = list(store.points)
    name = point or (getattr(coder, "meta", None) or {}).get("hook_point")
    if name is None and len(points) == 1:
        return points[0]
    if name not in points:
        raise unknown("hook point of the store", str(name), points)
    return str(name)
