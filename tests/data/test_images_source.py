"""Runs over images of which some are bad: nothing else is lost, everything is counted, and a run can resume."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from vitreous.data.images import Skipped, Stream, as_items, open_items, read_all
from vitreous.data.item import Item
from vitreous.errors import BadInputError, FormatError

BAD = (0, 3, 4, 9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten files 0.png to 9.png; those in BAD are damaged in different ways."""
    for number in range(10):
        Image.new("L", (4, 4), number).save(tmp_path / f"{number}.png")
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "3.png").write_text("text")
    (tmp_path / "4.png").write_bytes((tmp_path / "5.png").read_bytes()[:45])
    (tmp_path / "9.png").write_bytes((tmp_path / "5.png").read_bytes()[:8])
    return tmp_path


def test_bad_images_are_skipped_counted_and_named(folder: Path) -> None:
    skipped: list[Skipped] = []
    found = list(read_all(open_items(folder), skipped))
    assert [(index, item.id) for index, item in found] == [(i, f"{i}.png") for i in range(10) if i not in BAD]
    assert [(each.index, each.id) for each in skipped] == [(i, f"{i}.png") for i in BAD]
    for each in skipped:
        assert f"{folder}/{each.id}: " in each.reason
        assert "\n" not in each.reason


def test_a_file_that_vanishes_during_the_run(folder: Path) -> None:
    items = open_items(folder)
    (folder / "6.png").unlink()
    skipped: list[Skipped] = []
    assert [index for index, _ in read_all(items, skipped)] == [1, 2, 5, 7, 8]
    assert "6.png: cannot be read (No such file" in skipped[3].reason


@pytest.mark.parametrize("start", range(11))
def test_resuming_at_any_position_gives_the_rest(folder: Path, start: int) -> None:
    items = open_items(folder)
    whole = [index for index, _ in read_all(items)]
    skipped: list[Skipped] = []
    assert [index for index, _ in read_all(items, skipped, start=start)] == [i for i in whole if i >= start]
    assert [each.index for each in skipped] == [i for i in BAD if i >= start]


def test_nothing_readable_at_all_is_an_error(folder: Path) -> None:
    with pytest.raises(BadInputError, match=r"none of the 4 images could be read; the first: .*0\.png: .*empty"):
        list(read_all(open_items(folder).pick(BAD)))


class Rows:
    """A stream of numbers, every third of which cannot be converted; counts the conversions."""

    def __init__(self) -> None:
        self.converted: list[int] = []

    def rows(self) -> Iterator[int]:
        return iter(range(7))

    def convert(self, row: int, number: int) -> Item:
        self.converted.append(row)
        if row % 3 == 2:
            raise FormatError(f"row {number} is bad")
        return Item(Image.new("RGB", (1, 1)), f"row {number}")


def test_a_stream_survives_its_bad_rows() -> None:
    source = Rows()
    skipped: list[Skipped] = []
    stream = Stream("numbers", source.rows, source.convert)
    assert [index for index, _ in read_all(stream, skipped)] == [0, 1, 3, 4, 6]
    assert skipped == [Skipped(2, "2", "row 2 is bad"), Skipped(5, "5", "row 5 is bad")]


def test_a_stream_resumes_without_converting_what_came_before() -> None:
    source = Rows()
    stream = Stream("numbers", source.rows, source.convert)
    assert [index for index, _ in read_all(stream, start=4)] == [4, 6]
    assert source.converted == [4, 5, 6]


def test_any_iterable_of_items_will_do() -> None:
    items = [Item(Image.new("RGB", (1, 1)), str(number)) for number in range(4)]
    assert [(index, item.id) for index, item in read_all(iter(items), start=2)] == [(2, "2"), (3, "3")]


def test_errors_of_the_program_are_not_swallowed() -> None:
    def broken(row: int, number: int) -> Item:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(read_all(Stream("x", lambda: iter(range(3)), broken)))


class TestAsItems:
    def test_pictures(self) -> None:
        items = as_items([Image.new("L", (2, 2), 7), Image.new("RGBA", (2, 2))])
        assert [item.image.getpixel((0, 0)) for item in items] == [(7, 7, 7), (255, 255, 255)]
        assert [item.id for item in items] == ["0", "1"]

    def test_paths(self, folder: Path) -> None:
        items = as_items([folder / "5.png", str(folder / "2.png")])
        assert [item.image.getpixel((0, 0)) for item in items] == [(5, 5, 5), (2, 2, 2)]
        assert [Path(item.id).name for item in items] == ["5.png", "2.png"]

    def test_items_and_names(self, folder: Path) -> None:
        items = open_items(folder)
        assert as_items(items) is items
        assert as_items(folder).ids == items.ids  # type: ignore[union-attr]

    def test_generators(self) -> None:
        skipped: list[Skipped] = []
        mixed = as_items(value for value in (Image.new("1", (1, 1)), 3, Image.new("L", (1, 1))))
        assert [index for index, _ in read_all(mixed, skipped)] == [0, 2]
        assert skipped[0].reason == "element 1 is no image but int"

    @pytest.mark.parametrize("nothing", [[], 3, None])
    def test_nothing(self, nothing: object) -> None:
        with pytest.raises(BadInputError):
            as_items(nothing)
