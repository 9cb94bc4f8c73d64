"""The photographs inside scikit-image and scikit-learn, and their tiles."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from vitreous.data.images import PHOTOGRAPHS, open_items, photographs, tiles
from vitreous.data.scenes import Scenes
from vitreous.errors import BadInputError, UnknownNameError


def test_all_of_them_are_shipped_colour_photographs() -> None:
    items = list(photographs())
    assert len(items) == len(PHOTOGRAPHS) == 9
    assert len({item.id for item in items}) == 9
    for item, photograph in zip(items, PHOTOGRAPHS, strict=True):
        values = np.asarray(item.image).astype(int)
        assert min(item.image.size) >= 300
        assert np.abs(values[..., 0] - values[..., 2]).mean() > 4, f"{item.id} looks grey"
        assert item.label == item.id == photograph.name
        assert item.caption
        assert item.licence
        assert item.source == f"{photograph.package}:{photograph.path.stem}"


def test_they_are_those_of_the_package() -> None:
    registry = pytest.importorskip("skimage.data._registry").registry
    for photograph in PHOTOGRAPHS:
        if photograph.package == "skimage":
            digest = hashlib.sha256(photograph.path.read_bytes()).hexdigest()
            assert digest == registry[photograph.file]


def test_some_by_name() -> None:
    assert [item.label for item in photographs(["rocket", "cat"])] == ["rocket", "cat"]
    assert open_items("skimage:cat")[0].image.size == (451, 300)  # type: ignore[index]
    with pytest.raises(UnknownNameError, match="'cats'; did you mean 'cat'"):
        open_items("skimage:cats")


def test_a_tile_is_the_crop_that_its_id_says() -> None:
    items = tiles(["coffee", "flower"], size=64, sides=(64,), limit=None)
    whole = {item.id: item.image for item in photographs()}
    for item in items[::17]:
        name, numbers = item.id.split("@")
        box = tuple(map(int, numbers.split(",")))
        assert item.label == name
        assert item.source.endswith(f"crop {numbers}")
        assert np.array_equal(np.asarray(item.image), np.asarray(whole[name].crop(box)))  # type: ignore[arg-type]


def test_larger_crops_are_scaled_down() -> None:
    item = tiles(["rocket"], size=32, sides=(128,))[3]
    box = tuple(map(int, item.id.split("@")[1].split(",")))
    crop = photographs(["rocket"])[0].image.crop(box)  # type: ignore[arg-type]
    close = np.asarray(crop.reduce(4)).astype(int)  # mean of 4 x 4 pixels
    assert item.image.size == (32, 32)
    assert np.abs(np.asarray(item.image).astype(int) - close).mean() < 4


def test_the_grid_covers_the_photograph() -> None:
    items = tiles(["astronaut"], size=8, sides=(128,), stride=0.5, limit=None)
    assert len(items) == 7 * 7  # 512 pixels, a crop of 128 every 64
    seen = np.zeros((512, 512), int)
    for name in items.ids:
        x0, y0, x1, y1 = map(int, name.split("@")[1].split(","))
        seen[y0:y1, x0:x1] += 1
    assert seen.min() == 1
    assert seen.max() == 4


def test_a_limit_spreads_evenly() -> None:
    full = tiles(["retina"], sides=(96, 160), limit=None).ids
    few = tiles(["retina"], sides=(96, 160), limit=50).ids
    assert len(few) == len(set(few)) == 50
    places = [full.index(name) for name in few]
    assert max(np.diff(places)) - min(np.diff(places)) <= 1
    assert places[0] == 0
    assert places[-1] >= len(full) - len(full) / 50 - 1
    counts = {name.split("@")[0] for name in tiles(limit=3).ids}
    assert len(counts) == 9
    assert len(tiles(limit=3)) == 27


def test_photographs_that_are_too_small_are_left_out() -> None:
    assert {name.split("@")[0] for name in tiles(sides=(600,)).ids} == {"galaxies", "retina"}
    with pytest.raises(BadInputError, match="large enough"):
        tiles(sides=(5000,))


@pytest.mark.parametrize("wrong", [{"size": 0}, {"stride": 0.0}, {"stride": 1.5}, {"sides": ()}, {"limit": 0}])
def test_values_out_of_range(wrong: dict) -> None:
    with pytest.raises(BadInputError):
        tiles(**wrong)


def test_tiles_by_name() -> None:
    items = open_items("skimage-tiles:cat,coffee?size=48&sides=100,150&limit=5")
    assert len(items) == 10  # type: ignore[arg-type]
    assert all(item.image.size == (48, 48) for item in items)
    assert open_items("skimage-tiles?sides=100&limit=1")[0].image.size == (96, 96)  # type: ignore[index]


def test_scenes_by_name() -> None:
    items = open_items("scenes:12?seed=3&size=48")
    assert len(items) == 12  # type: ignore[arg-type]
    again = open_items("scenes", split="12", seed=3, size=48)
    other = open_items("scenes:12?seed=4&size=48")
    first, same, different = (np.asarray(each[7].image) for each in (items, again, other))  # type: ignore[index]
    assert first.shape == (48, 48, 3)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, different)
    for wrong in ("scenes", "scenes:0", "scenes:many"):
        with pytest.raises(BadInputError, match="scenes need a number"):
            open_items(wrong)
    with pytest.raises(BadInputError, match="size takes a number, as 64; got 'big'"):
        open_items("scenes:3?size=big")
    assert {len(scene.objects) for scene in Scenes(20, n_objects=(2, 2))} == {2}
    two, three = (open_items(f"scenes:4?n_objects={value}") for value in ("2", "2,2"))
    assert [item.caption for item in two] == [item.caption for item in three]
    with pytest.raises(UnknownNameError, match="'sed'; did you mean 'seed'"):
        open_items("scenes:3?sed=1")


def test_the_photographs_are_not_decoded_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", refuse)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    assert len(tiles()) > 1000
    assert len(photographs().ids) == 9
