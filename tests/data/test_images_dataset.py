"""Hugging Face data sets: in memory, on disk, streamed, and the hub that is not there."""

import io
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from vitreous.data.images import Items, Skipped, Stream, as_items, dataset_items, open_items, read_all
from vitreous.errors import BadInputError, NetworkError, UnknownNameError


def png(value: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (5, 4), (value,) * len(mode)).save(file, "PNG")
    return file.getvalue()


def table(n: int = 6, bad: tuple[int, ...] = ()) -> datasets.Dataset:
    """Grey values 0, 10, 20, ...; labels alternate; the bad rows hold no image."""
    rows = {
        "caption": [f"number {number}" for number in range(n)],
        "picture": [{"bytes": b"junk" if number in bad else png(10 * number), "path": None} for number in range(n)],
        "kind": [number % 2 for number in range(n)],
        "key": [f"k{number}" for number in range(n)],
    }
    kinds = {
        "caption": datasets.Value("string"),
        "picture": datasets.Image(),
        "kind": datasets.ClassLabel(names=["even", "odd"]),
        "key": datasets.Value("string"),
    }
    return datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))


def test_columns_are_found_by_type_then_by_name() -> None:
    items = as_items(table())
    assert isinstance(items, Items)
    assert len(items) == 6
    item = items[3]
    assert (item.id, item.label, item.caption) == ("3", "odd", "number 3")
    assert item.image.getpixel((0, 0)) == (30, 30, 30)
    assert items.ids == list("012345")


def test_columns_can_be_given() -> None:
    items = dataset_items(table(), name="mine", label="key", caption="kind", id="key")
    assert isinstance(items, Items)
    assert (items[1].id, items[1].label, items[1].caption, items[1].source) == ("k1", "k1", "1", "mine")
    assert items.ids[:2] == ["k0", "k1"]
    with pytest.raises(UnknownNameError, match="column 'keys'; did you mean 'key'"):
        dataset_items(table(), id="keys")


def test_one_damaged_row_does_not_end_the_run() -> None:
    skipped: list[Skipped] = []
    found = [index for index, _ in read_all(as_items(table(bad=(2, 4))), skipped)]
    assert found == [0, 1, 3, 5]
    assert [(each.index, each.id) for each in skipped] == [(2, "2"), (4, "4")]
    assert "/2: not an image" in skipped[0].reason


def test_neither_does_one_in_a_stream() -> None:
    stream = as_items(table(bad=(0, 3)).to_iterable_dataset())
    assert isinstance(stream, Stream)
    skipped: list[Skipped] = []
    found = [(index, item.label, item.image.getpixel((0, 0))[0]) for index, item in read_all(stream, skipped)]  # type: ignore[index]
    assert found == [(1, "odd", 10), (2, "even", 20), (4, "even", 40), (5, "odd", 50)]
    assert len(skipped) == 2
    assert len(list(read_all(stream))) == 4  # a stream starts over each time it is iterated


def test_a_generator_without_declared_types() -> None:
    def rows():
        for value in (1, 2):
            yield {"img": Image.new("L", (3, 3), value), "text": f"v{value}", "label": value}

    found = list(as_items(datasets.IterableDataset.from_generator(rows)))
    assert [(item.image.getpixel((0, 0)), item.caption, item.label) for item in found] == [
        ((1, 1, 1), "v1", "1"),
        ((2, 2, 2), "v2", "2"),
    ]


def test_arrays_and_bytes_as_columns() -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    array = as_items(datasets.Dataset.from_dict({"pixels": values.tolist()}))
    assert np.array_equal(np.asarray(next(iter(array)).image), values[0])
    raw = as_items(datasets.Dataset.from_dict({"image": [png(9), png(8)]}))
    assert [item.image.getpixel((0, 0)) for item in raw] == [(9, 9, 9), (8, 8, 8)]


def test_odd_pictures_come_out_as_everywhere_else() -> None:
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 32896, 65535]], np.uint16)).save(file, "PNG")
    rows = {"image": [{"bytes": file.getvalue(), "path": None}, {"bytes": png(0, "LA"), "path": None}]}
    items = as_items(datasets.Dataset.from_dict(rows, features=datasets.Features({"image": datasets.Image()})))
    first, second = (np.asarray(item.image) for item in items)
    assert first[0, :, 0].tolist() == [0, 128, 255]
    assert second.min() == 255


def test_unlabelled_rows_and_lists_of_captions() -> None:
    rows = {"image": [png(1), png(2)], "label": [-1, 0], "captions": [["a", "b"], []]}
    data = datasets.Dataset.from_dict(rows).cast_column("label", datasets.ClassLabel(names=["cat"]))
    assert [(item.label, item.caption) for item in as_items(data)] == [(None, "a"), ("cat", None)]


def test_torch_format_is_no_obstacle() -> None:
    assert next(iter(as_items(table().with_format("torch")))).image.mode == "RGB"


def test_nothing_to_see() -> None:
    with pytest.raises(BadInputError, match="no column of images among words"):
        as_items(datasets.Dataset.from_dict({"words": ["a"]}))
    with pytest.raises(BadInputError, match="empty"):
        as_items(table(0))


def test_saved_to_disk(tmp_path: Path) -> None:
    table(3).save_to_disk(tmp_path / "one")
    items = open_items(tmp_path / "one")
    assert [item.label for item in items] == ["even", "odd", "even"]
    assert open_items(f"{tmp_path}/one?label=key")[0].label == "k0"  # type: ignore[index]
    with pytest.raises(BadInputError, match="without splits"):
        open_items(f"{tmp_path}/one:train")


def test_saved_with_splits(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": table(4), "test": table(2)}).save_to_disk(tmp_path / "many")
    assert len(open_items(f"{tmp_path}/many:test")) == 2  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match=r"has the splits train, test; choose one, as in '.*many:train'"):
        open_items(tmp_path / "many")
    with pytest.raises(UnknownNameError, match="'tset'; did you mean 'test'"):
        open_items(f"{tmp_path}/many:tset")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_of_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "hub").mkdir()
    table(3).to_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet")
    items = open_items(tmp_path / "hub", streaming=streaming)
    assert isinstance(items, Stream if streaming else Items)
    assert [(item.label, item.caption) for item in items][1] == ("odd", "number 1")


@pytest.mark.parametrize("described", [False, True])
def test_imagefolder_agrees_with_our_own_reading(tmp_path: Path, described: bool) -> None:
    photos = tmp_path / "photos"
    rows = []
    for number, label in enumerate(["ant", "bee", "ant"]):
        (photos / label).mkdir(parents=True, exist_ok=True)
        (photos / label / f"{number}.png").write_bytes(png(number))
        rows.append({"file_name": f"{label}/{number}.png", "text": f"{label} {number}", "label": label})
    if described:
        (photos / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    theirs = datasets.load_dataset("imagefolder", data_dir=str(photos), split="train", streaming=True)

    def seen(items: Items | Stream) -> list[tuple]:
        return sorted((item.image.getpixel((0, 0)), item.label, item.caption or "") for item in items)

    assert seen(as_items(theirs)) == seen(open_items(photos))
    assert seen(open_items(photos))[1] == ((1, 1, 1), "bee", "bee 1" if described else "")


class TestHub:
    @pytest.mark.parametrize("source", ["nobody/nothing", "cifar100:train", "mnist:test?streaming=1"])
    def test_no_network_says_what_to_do_in_one_line(self, source: str) -> None:
        with pytest.raises(NetworkError) as caught:
            open_items(source)
        assert source.split(":")[0] in str(caught.value)
        assert "skimage" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_mistyped_path_is_not_looked_for_on_the_hub(self) -> None:
        for source in ("./photos", "/no/such/folder", "a/b/c", "cat.jpg", "pack.zip", "photos/cat.PNG"):
            with pytest.raises(BadInputError, match="no such file or folder"):
                open_items(source)

    def test_an_option_that_does_not_exist(self) -> None:
        with pytest.raises(UnknownNameError, match="option of cifar100 'lable'; did you mean 'label'"):
            open_items("cifar100?lable=fine_label")
