"""Folders and zip archives: order, labels, annotations, splits, and what is not an image."""

import io
import json
import multiprocessing
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitreous.data.images import open_items
from vitreous.errors import BadInputError, FormatError, UnknownNameError

FILES = ("zoo/cat/2.png", "zoo/cat/10.PNG", "zoo/dog/1.jpg", "top.bmp", "test/cat/7.png")


def shade(name: str) -> int:
    """A grey value that tells the files apart."""
    return 40 * FILES.index(name)


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(params=["folder", "zip"])
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    """(extra files) -> the path of a folder or zip archive that holds FILES, noise, and the extra files."""

    def make(names: tuple[str, ...] = FILES, **extra: str) -> str:
        content = {name: png(shade(name)) for name in names}
        content |= {"notes.txt": b"hello", ".hidden.png": b"", "__MACOSX/zoo/._1.jpg": b"x", "zoo/.DS_Store": b""}
        content |= {name.replace("__", "/").replace("_DOT_", "."): text.encode() for name, text in extra.items()}
        if request.param == "zip":
            with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
                archive.writestr("zoo/", "")
                for name, data in reversed(content.items()):
                    archive.writestr(name, data)
            return str(tmp_path / "pack.zip")
        for name, data in content.items():
            (tmp_path / "pack" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "pack" / name).write_bytes(data)
        return str(tmp_path / "pack")

    return make


def test_every_image_once_sorted_and_labelled_by_its_folder(pack: Callable[..., str]) -> None:
    items = open_items(pack())
    assert items.ids == sorted(FILES)
    assert [item.id for item in items] == items.ids
    assert {item.id: item.label for item in items} == {
        "zoo/cat/2.png": "cat",
        "zoo/cat/10.PNG": "cat",
        "zoo/dog/1.jpg": "dog",
        "top.bmp": None,
        "test/cat/7.png": "cat",
    }
    for item in items:
        assert item.image.getpixel((3, 3)) == (shade(item.id),) * 3
        assert item.image.mode == "RGB"


def test_folder_names_can_be_ignored(pack: Callable[..., str]) -> None:
    assert {item.label for item in open_items(pack(), labels=False)} == {None}


def test_a_split_is_a_top_folder(pack: Callable[..., str]) -> None:
    path = pack()
    assert open_items(f"{path}:test").ids == ["test/cat/7.png"]
    assert open_items(path, split="zoo").ids == ["zoo/cat/10.PNG", "zoo/cat/2.png", "zoo/dog/1.jpg"]
    with pytest.raises(UnknownNameError, match="'tset'; did you mean 'test'"):
        open_items(f"{path}:tset")


def test_a_split_folder_and_a_container_are_no_class(pack: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("train/a.png", "images/b.png", "train/images/c.png", "train/x/d.png", "top.bmp")
    monkeypatch.setitem(globals(), "FILES", names)
    assert [item.label for item in open_items(pack(names))] == [None, None, None, None, "x"]


def test_metadata_jsonl(pack: Callable[..., str]) -> None:
    rows = [
        {"file_name": "cat/2.png", "caption": "a cat", "label": "tabby", "license": "CC0", "url": "http://x/1"},
        {"file_name": "dog/1.jpg", "text": ["a dog", "a pet"]},
        {"file_name": "cat/absent.png", "caption": "nobody"},
    ]
    items = {item.id: item for item in open_items(pack(zoo__metadata_DOT_jsonl="\n\n".join(map(json.dumps, rows))))}
    cat, dog = items["zoo/cat/2.png"], items["zoo/dog/1.jpg"]
    assert (cat.caption, cat.label, cat.licence, cat.source) == ("a cat", "tabby", "CC0", "http://x/1")
    assert (dog.caption, dog.label, dog.licence) == ("a dog", "dog", "")
    assert dog.source.endswith(("pack", "pack.zip"))
    assert items["zoo/cat/10.PNG"].caption is None


def test_manifest_csv_with_splits(pack: Callable[..., str]) -> None:
    text = "file,split,class\ntop.bmp,train,hill\nzoo/cat/2.png,val,\nzoo/dog/1.jpg,train,wolf\n"
    path = pack(manifest_DOT_csv="\ufeff" + text)
    assert [(item.id, item.label) for item in open_items(f"{path}:train")] == [
        ("top.bmp", "hill"),
        ("zoo/dog/1.jpg", "wolf"),
    ]
    assert [item.label for item in open_items(f"{path}:val")] == ["cat"]


@pytest.mark.parametrize(
    "content",
    [
        {"zoo/dog/1.jpg": "a dog"},
        {"zoo/dog/1.jpg": ["a dog", "a pet"]},
        [{"image": "./zoo/dog/1.jpg", "text": "a dog"}],
        {
            "images": [{"id": 7, "file_name": "zoo/dog/1.jpg", "license": 4}],
            "annotations": [{"image_id": 7, "caption": "a dog"}, {"image_id": 7, "caption": "a pet"}],
            "licenses": [{"id": 4, "name": "CC BY"}],
        },
    ],
)
def test_captions_json(pack: Callable[..., str], content: object) -> None:
    items = {item.id: item for item in open_items(pack(captions_DOT_json=json.dumps(content)))}
    assert items["zoo/dog/1.jpg"].caption == "a dog"
    assert items["zoo/dog/1.jpg"].licence == ("CC BY" if "licenses" in content else "")  # type: ignore[operator]
    assert items["top.bmp"].caption is None


@pytest.mark.parametrize("name", ["metadata_DOT_jsonl", "captions_DOT_json", "coco_DOT_json"])
@pytest.mark.parametrize("text", ['{"file_name": "top.bmp", ', "[3]", '{"images": [{}]}', '{"x.png": "y"}'])
def test_annotations_that_make_no_sense_name_their_file(pack: Callable[..., str], name: str, text: str) -> None:
    with pytest.raises(FormatError, match=name.replace("_DOT_", r"\.")):
        open_items(pack(**{name: text}))


def test_a_bad_line_is_named_by_its_number(pack: Callable[..., str]) -> None:
    with pytest.raises(FormatError, match=r"zoo/metadata\.jsonl.*line 2"):
        open_items(pack(zoo__metadata_DOT_jsonl='{"file_name": "dog/1.jpg"}\nnonsense\n'))


def test_nothing_there(pack: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"pack.*no image in it \(1 files with \.txt"):
        open_items(pack(()))
    (tmp_path / "bare").mkdir()
    with pytest.raises(BadInputError, match=r"bare.*no image in it \(it is empty\)"):
        open_items(tmp_path / "bare")


def test_slices_and_picks_stay_lazy(pack: Callable[..., str]) -> None:
    items = open_items(pack(zoo__cat__3_DOT_png="broken"))
    assert items.ids.index("zoo/cat/3.png") == 4
    assert items[1:].ids == items.ids[1:]
    assert items[::-2].ids == items.ids[::-2]
    assert items.pick([4, 0, 0]).ids == [items.ids[i] for i in (4, 0, 0)]
    assert items[-1].id == items.ids[-1]
    with pytest.raises(IndexError):
        items[len(items)]
    with pytest.raises(FormatError, match=r"pack.*/zoo/cat/3\.png: not an image"):
        items[4]


def read_shades(path: str, ids: list[str]) -> list[int]:
    items = open_items(path)
    return [items[items.ids.index(name)].image.getpixel((0, 0))[0] for name in ids]  # type: ignore[index]


def test_threads_read_what_one_reader_reads(pack: Callable[..., str]) -> None:
    items = open_items(pack())
    wanted = [number % len(items) for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: items[number].id, wanted))
    assert found == [items.ids[number] for number in wanted]


def test_a_worker_process_can_take_the_items_along(pack: Callable[..., str]) -> None:
    items = open_items(pack())
    items[0]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(items.__getitem__, [2])[0].id == items.ids[2]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "photos" / "real").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(png(1))
    try:
        os.symlink(tmp_path / "elsewhere", tmp_path / "photos" / "linked")
        os.symlink(tmp_path / "photos", tmp_path / "photos" / "real" / "loop")
    except OSError:
        pytest.skip("no symbolic links here")
    assert open_items(tmp_path / "photos").ids == ["linked/a.png"]


class TestArchives:
    def test_not_a_zip(self, tmp_path: Path) -> None:
        (tmp_path / "x.zip").write_bytes(b"PK, but no")
        with pytest.raises(FormatError, match=r"x\.zip: not a zip archive"):
            open_items(tmp_path / "x.zip")

    def test_a_damaged_member_is_named_and_the_others_are_read(self, tmp_path: Path) -> None:
        path = tmp_path / "p.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", png(1))
            archive.writestr("b.png", png(2))
        data = bytearray(path.read_bytes())
        data[data.index(b"IDAT") + 6] ^= 0xFF  # the first member's content no longer fits its checksum
        path.write_bytes(data)
        items = open_items(path)
        with pytest.raises(FormatError, match=r"p\.zip/a\.png: damaged"):
            items[0]
        assert items[1].id == "b.png"


class TestPhotoPacks:
    def test_clothing(self, photo_pack: Callable[[str], Path]) -> None:
        path = photo_pack("clothing_cc0_96")
        items = open_items(path)
        assert len(items) == 3781
        assert [len(open_items(f"{path}:{split}")) for split in ("train", "validation", "test")] == [3068, 341, 372]
        some = items[::50]
        assert {item.image.size for item in some} == {(96, 96)}
        assert {item.licence for item in some} == {"CC0 1.0"}
        assert Counter(item.label for item in items[::20]).most_common(1)[0][0] == "t-shirt"

    def test_caltech(self, photo_pack: Callable[[str], Path]) -> None:
        items = open_items(photo_pack("caltech101_80"))
        assert len(items) == 7807
        counts = Counter(name.split("/")[0] for name in items.ids)
        assert counts["airplanes"] == 800
        item = items[items.ids.index("airplanes/image_0001.jpg")]
        assert (item.label, item.licence, np.asarray(item.image).shape) == ("airplanes", "CC BY 4.0", (80, 80, 3))

    def test_coco(self, photo_pack: Callable[[str], Path]) -> None:
        items = list(open_items(photo_pack("coco_ccby_256")))
        assert len(items) == 82
        assert sum(item.caption is not None for item in items) == 28
        assert {item.label for item in items} == {None}
        assert sum(item.licence == "CC BY 2.0" for item in items) == 49
        assert {max(item.image.size) for item in items} == {256}
