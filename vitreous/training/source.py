"""Images in, batches of readable items out; one bad image never loses the rest."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from PIL import Image

from vitreous.data.item import Item
from vitreous.errors import BadInputError, VitreousError

BAD = (VitreousError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what broken images raise


@dataclass
class Chunk:
    """Consecutive source items: the readable ones, and what is known of all of them."""

    first: int
    items: list[tuple[int, Item]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)

    def skip(self, index: int, error: Exception) -> None:
        """Move an item from the readable to the skipped ones."""
        self.items = [(i, item) for i, item in self.items if i != index]
        entry = {"index": index, "id": self.ids[index - self.first], "error": f"{type(error).__name__}: {error}"[:500]}
        self.skipped.append(entry)


def as_item(thing: Any, index: int) -> Item:
    """An `Item` from an item, a PIL image or anything with ``.item()`` (a scene)."""
    if isinstance(thing, Item):
        return thing
    if isinstance(thing, Image.Image):
        return Item(thing.convert("RGB"), id=f"{index:06d}")
    if hasattr(thing, "item"):
        return thing.item()
    raise BadInputError(f"item {index} is a {type(thing).__name__}; expected an Item, a PIL image or a scene")


class Source:
    """Items by position, from a sequence (any order) or an iterable (forwards only).

    An item that cannot be read is skipped where that is possible: in sequences, and in the streams of
    `vitreous.data`, which convert one row after another. An error in a plain generator ends it, so it is raised.
    """

    def __init__(self, items: Sequence[Any] | Iterable[Any], limit: int | None = None) -> None:
        self.items: Any = items
        self.is_sequence = hasattr(items, "__len__") and hasattr(items, "__getitem__")
        self.length = len(self.items) if self.is_sequence else None
        if limit is not None:
            self.length = limit if self.length is None else min(limit, self.length)
        by_row = hasattr(items, "rows") and hasattr(items, "convert")
        self._convert = self.items.convert if by_row else lambda thing, index: thing
        self._rows = None if self.is_sequence else self.items.rows() if by_row else iter(self.items)
        self._next = 0

    def read(self, first: int, stop: int) -> Chunk:
        """Items ``first .. stop - 1``; fewer at the end of the data."""
        chunk = Chunk(first)
        stop = stop if self.length is None else min(stop, self.length)
        rows = None if self._rows is None else self._forward(first, stop)
        for index in range(first, stop if rows is None else first + len(rows)):
            try:
                thing = self.items[index] if rows is None else self._convert(rows[index - first], index)
                item = as_item(thing, index)
            except BAD as error:
                chunk.ids.append(self._id(index))
                chunk.labels.append(None)
                chunk.skip(index, error)
                continue
            chunk.items.append((index, item))
            chunk.ids.append(item.id)
            chunk.labels.append(item.label)
        return chunk

    def _forward(self, first: int, stop: int) -> list[Any]:
        if first < self._next:
            raise BadInputError("these items can only be read once, in order; pass a sequence to re-read some of them")
        rows = list(islice(self._rows, first - self._next, stop - self._next))  # type: ignore[arg-type]
        self._next = stop
        return rows

    def _id(self, index: int) -> str:
        """The id of an item that cannot be read, where the source knows it."""
        return self.items.pick([index]).ids[0] if hasattr(self.items, "pick") else f"item {index}"


def chunks(source: Source, first: int, stop: int, size: int, *, ahead: bool = True) -> Iterator[Chunk]:
    """Chunks of `size` items; the next one is read in a thread while the caller works on the current one."""
    starts = range(first, stop, size)
    if not ahead:
        yield from (source.read(i, min(i + size, stop)) for i in starts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="vitreous-read") as pool:
        pending = None
        for i in starts:
            following = pool.submit(source.read, i, min(i + size, stop))
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()
