"""Pictures of the chosen images only, small, with their provenance."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import numpy as np
from PIL import Image

from vitreous.dashboards.record import Picture, Region
from vitreous.data.item import Item
from vitreous.data.source import Items, Source, Stream, read_all


def pictures_of(
    ids: Sequence[str],
    used: np.ndarray,
    images: Source | Mapping[str, Item] | None,
    labels: Sequence[str | None] | None,
    view: Callable[[Image.Image], Image.Image] | None,
    regions: Callable[[str], Sequence[Region]] | None,
    side: int,
    report: Callable[[str, int, int], None],
) -> tuple[Picture, ...]:
    """One picture per used image, in order; an image that is not among `images` keeps its name and has no picture."""
    place = {str(ids[int(i)]): n for n, i in enumerate(used)}
    out = [Picture(id=str(ids[int(i)]), label=_label(labels, int(i))) for i in used]
    done = 0
    for item in _items(images, place):
        n = place.get(item.id)
        if n is None:
            continue
        seen = view(item.image) if view else item.image
        out[n] = Picture(
            id=item.id,
            image=thumbnail(seen, side),
            label=out[n].label if out[n].label is not None else item.label,
            caption=item.caption,
            source=item.source,
            licence=item.licence,
            regions=tuple(regions(item.id)) if regions else (),
        )
        done += 1
        report("pictures", done, len(used))
        if done == len(used):
            break
    return tuple(out)


def _label(labels: Sequence[str | None] | None, i: int) -> str | None:
    return None if labels is None or labels[i] is None else str(labels[i])


def _items(images: Source | Mapping[str, Item] | None, wanted: Mapping[str, int]) -> Iterable[Item]:
    """The items to look at: by name where that is possible, else all of them; unreadable ones are passed over."""
    if images is None:
        return ()
    if isinstance(images, Items):
        images = images.pick(i for i, name in enumerate(images.ids) if name in wanted)
    if isinstance(images, Items | Stream):
        return (item for _, item in read_all(images))
    if isinstance(images, Mapping):
        known = cast(Mapping[str, Item], images)
        return (known[name] for name in wanted if name in known)
    return images


def thumbnail(image: Image.Image, side: int) -> Image.Image:
    """A copy with its longest side at most `side` pixels; never enlarged."""
    image = image.convert("RGB")
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
