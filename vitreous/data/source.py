"""What every data source is: items by number where that is possible, one after the other where it is not.

A source never decodes an image before it is asked for it, and a picture that cannot be read costs that picture and
nothing else: :func:`read_all` skips it, counts it and says why.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from vitreous.data.item import Item
from vitreous.errors import BadInputError, VitreousError


@dataclass(frozen=True)
class Items(Sequence):
    """A lazy sequence of items: ``items[i]`` decodes image i now, a slice decodes nothing.

    Attributes:
        name: what was opened, for the record.
        numbers: the rows of the source that this view holds, in order.
        read: row number -> item; raises a :class:`VitreousError` that names the image when it cannot be read.
        identify: row number -> the item's id, without decoding.
    """

    name: str
    numbers: Sequence[int]
    read: Callable[[int], Item]
    identify: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "Items": ...
    def __getitem__(self, index: int | slice) -> "Item | Items":
        if isinstance(index, slice):
            return Items(self.name, self.numbers[index], self.read, self.identify)
        return self.read(self.numbers[index])

    def pick(self, positions: Iterable[int]) -> "Items":
        """The items at these positions, in this order, still undecoded."""
        return Items(self.name, [self.numbers[i] for i in positions], self.read, self.identify)

    @property
    def ids(self) -> list[str]:
        """The id of every item, without decoding one."""
        return [self.identify(number) for number in self.numbers]

    def __repr__(self) -> str:
        return f"Items({self.name!r}, {len(self)} images)"


@dataclass(frozen=True)
class Stream(Iterable):
    """Items that only come one after the other (a streamed data set): no length, no random access.

    Attributes:
        name: what was opened, for the record.
        rows: starts at the first row each time it is called.
        convert: (row, row number) -> item.
    """

    name: str
    rows: Callable[[], Iterator[Any]]
    convert: Callable[[Any, int], Item]

    def __iter__(self) -> Iterator[Item]:
        return (self.convert(row, number) for number, row in enumerate(self.rows()))


Source = Items | Stream | Iterable[Item]
"""What functions over images should take. (As `Iterable[Item]` alone, run-time type checks would decode an image.)"""


@dataclass(frozen=True)
class Skipped:
    """An image that was left out of a run.

    Attributes:
        index: its position in the source, from 0.
        id: its id.
        reason: one line that names the file and says what is wrong with it.
    """

    index: int
    id: str
    reason: str


def read_all(items: Source, skipped: list[Skipped] | None = None, start: int = 0) -> Iterator[tuple[int, Item]]:
    """Yields (position in the source, item) for every image that can be read, from position ``start`` on.

    Positions count the unreadable images too, so a run that was interrupted after position i resumes with
    ``start=i + 1`` whatever was skipped before.

    Args:
        items: :class:`Items`, a :class:`Stream`, or any iterable of items.
        skipped: gets one :class:`Skipped` for every image that could not be read; ``len(skipped)`` is the count.
        start: position to begin at, >= 0. Sequences jump there; streams read on to it without decoding.

    Raises:
        BadInputError: if not a single image of the source could be read (only when ``start`` is 0).
    """
    skipped = [] if skipped is None else skipped
    good, first = 0, ""
    for index, identity, read in _attempts(items, start):
        try:
            item = read()
        except (VitreousError, OSError) as error:
            skipped.append(Skipped(index, identity, _one_line(error)))
            first = first or skipped[-1].reason
            continue
        good += 1
        yield index, item
    if first and not good and start == 0:
        raise BadInputError(f"none of the {len(skipped)} images could be read; the first: {first}")


def _attempts(items: Source, start: int) -> Iterator[tuple[int, str, Callable[[], Item]]]:
    """Yields (position, id, a call that reads the item and may raise)."""
    if isinstance(items, Items):
        for index in range(start, len(items)):
            number = items.numbers[index]
            yield index, items.identify(number), lambda number=number: items.read(number)
    elif isinstance(items, Stream):
        for index, row in enumerate(items.rows()):
            if index >= start:
                yield index, str(index), lambda row=row, index=index: items.convert(row, index)
    else:
        for index, item in enumerate(items):
            if index >= start:
                yield index, item.id, lambda item=item: item


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
