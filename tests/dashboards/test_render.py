import dataclasses
import hashlib
import json
from importlib import resources

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from vitreous.dashboards import collect, render, wire
from vitreous.dashboards.record import Column, Record
from vitreous.errors import BadInputError

from .fake import factors, world

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028\u202e\"'"


def schema_of(name: str) -> Draft202012Validator:
    schema = json.loads(resources.files("vitreous.dashboards").joinpath("dashboard.schema.json").read_text())
    kinds = ("manifest", "table", "pictures", "pixels", "map", "compare")
    kind = {**{kind: kind for kind in kinds}, "i": "codes"}.get(name.split("_")[0], "latents")
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]})


def read(out, name):
    return wire.unscript((out / "data" / f"{name}.js").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def record():
    made = world(40, n_latents=300)  # two shards
    return collect(
        made.coder,
        made.store,
        made.items,
        factors=factors(made),
        top=5,
        per_group=3,
        projection="pca",
        names={3: "square"},
    )


@pytest.fixture(scope="module")
def out(record, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard")
    assert render(record, folder) == folder / "index.html"
    return folder


def test_every_data_file_is_json_in_a_call_and_fits_the_schema(out):
    names = sorted(p.stem for p in (out / "data").iterdir())
    assert names == [
        "f_0000",
        "f_0001",
        "i_0000",
        "i_0001",
        "i_0002",
        "manifest",
        "map",
        "pictures_0000",
        "pixels_0000",
        "table",
    ]
    for name in names:
        schema_of(name).validate(read(out, name))


def test_the_schema_can_fail(out):
    manifest = read(out, "manifest")
    for broken in (
        {**manifest, "schema": "2.0"},
        {**manifest, "grid": [4]},
        {k: v for k, v in manifest.items() if k != "run"},
    ):
        assert list(schema_of("manifest").iter_errors(broken))


def test_numbers_survive_the_round_trip(record, out):
    manifest, table = read(out, "manifest"), read(out, "table")
    for column in record.columns:
        packed = wire.unarray(table["columns"][column.name])
        assert np.array_equal(packed, column.values.astype(packed.dtype), equal_nan=True)
    assert table["labels"] == {"3": "square"}
    pictures = read(out, "pictures_0000")["pictures"]
    for i, name in enumerate(manifest["shards"]):
        shard = read(out, name)
        stop = min(shard["start"] + 256, record.n_latents)
        assert shard["start"] == 256 * i
        for group, packed in zip(record.groups, shard["groups"], strict=True):
            assert np.array_equal(wire.unarray(packed["picture"]), group.picture[shard["start"] : stop])
            k = group.picture.shape[1]
            for e, text in list(enumerate(packed["heat"]))[::11]:
                plane = np.zeros(record.n_cells)
                cell, value = group.heat.of(shard["start"] * k + e)
                plane[cell] = value
                level = wire.unheat(text, record.n_cells)
                np.testing.assert_allclose(level / 255 * max(plane.max(), 1e-9), plane, atol=plane.max() / 255 + 1e-9)
                assert np.array_equal(level > 0, plane > 0)
        assert np.array_equal(
            wire.unarray(shard["histogram"]["counts"]), record.histogram.counts[shard["start"] : stop]
        )
    assert [p["id"] for p in pictures] == [p.id for p in record.pictures]
    assert pictures[0]["licence"] == "CC0-1.0"


def test_codes_survive_the_round_trip(record, out):
    info = read(out, "manifest")["explore"]
    assert info["pictures"] == record.codes.picture.tolist()
    images = [image for name in info["shards"] for image in read(out, name)["images"]]
    for i, image in enumerate(images):
        part = slice(record.codes.start[i], record.codes.start[i + 1])
        assert np.array_equal(wire.unarray(image["cell"]), record.codes.cell[part])
        assert np.array_equal(wire.unarray(image["latent"]), record.codes.latent[part])
        value = wire.unarray(image["value"]) / 65535 * image["scale"]
        np.testing.assert_allclose(value, record.codes.value[part], atol=image["scale"] / 65535)


def test_region_runs_and_patch_cover():
    mask = np.random.default_rng(0).random((12, 15)) < 0.4
    for m in (mask, ~mask, np.zeros((12, 15), bool), np.ones((12, 15), bool)):
        packed = wire.region("x", m, (4, 5))
        flat = np.repeat(np.arange(len(packed["runs"])) % 2 == 1, packed["runs"])
        assert np.array_equal(flat.reshape(12, 15), m)
        cover = m.reshape(4, 3, 5, 3).mean((1, 3)).ravel()
        np.testing.assert_allclose(wire.unarray(packed["cover"]) / 255, cover, atol=1 / 255)


@pytest.mark.parametrize("n_cells", [20, 256, 257, 1369])
def test_heat_encodings(n_cells):
    rng = np.random.default_rng(n_cells)
    for n in (0, 1, 3, n_cells // 3, n_cells):
        cell = np.sort(rng.permutation(n_cells)[:n])
        value = rng.gamma(1.0, 1.0, n) + 1e-6
        plane = np.zeros(n_cells)
        plane[cell] = value
        level = wire.unheat(wire.heat(cell, value, n_cells), n_cells)
        assert np.array_equal(level > 0, plane > 0)
        np.testing.assert_allclose(level / 255 * max(plane.max(), 1e-9), plane, atol=plane.max() / 255 + 1e-9)


def test_every_picture_is_stored_once_under_the_hash_of_its_content(record, out, tmp_path):
    for path in (out / "img").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem)
    twins = dataclasses.replace(
        record, pictures=tuple(dataclasses.replace(p, image=record.pictures[0].image) for p in record.pictures)
    )
    render(twins, tmp_path / "d")
    assert len(list((tmp_path / "d" / "img").iterdir())) == 1


def test_same_record_same_bytes_and_an_older_dashboard_is_replaced(record, out, tmp_path):
    render(record, tmp_path)
    (tmp_path / "data" / "f_9999.js").write_text("stale")
    (tmp_path / "notes.txt").write_text("mine")
    render(record, tmp_path)
    files = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    again = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert again.pop((tmp_path / "notes.txt").relative_to(tmp_path)) == b"mine"
    assert files == again


def test_foreign_folders_are_left_alone(record, tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(BadInputError, match="not part of a dashboard"):
        render(record, tmp_path)
    assert (tmp_path / "img" / "holiday.jpg").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="is a file"):
        render(record, tmp_path / "file")


def test_hostile_text_stays_data(record, tmp_path):
    pictures = tuple(dataclasses.replace(p, id=HOSTILE, label=HOSTILE, licence=HOSTILE) for p in record.pictures)
    header = {**record.header, "model": HOSTILE}
    render(dataclasses.replace(record, pictures=pictures, header=header, labels={0: HOSTILE}), tmp_path)
    for path in (tmp_path / "data").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "<" not in text
        assert "\u2028" not in text
    assert read(tmp_path, "table")["labels"]["0"] == HOSTILE
    assert read(tmp_path, "manifest")["header"]["model"] == HOSTILE


def test_a_record_by_hand_needs_only_columns(tmp_path):
    record = Record({"model": "mine"}, (0, 0), (), (Column("x", "X", "", np.arange(3.0)),), ())
    render(record, tmp_path)
    schema_of("manifest").validate(read(tmp_path, "manifest"))
    schema_of("f_0000").validate(read(tmp_path, "f_0000"))


def test_inconsistent_records_are_refused(record):
    short = Column("short", "", "", np.zeros(2))
    with pytest.raises(BadInputError, match="as many latents"):
        dataclasses.replace(record, columns=(*record.columns, short))
    with pytest.raises(BadInputError, match="refers to picture"):
        dataclasses.replace(record, pictures=record.pictures[:1])
    with pytest.raises(BadInputError, match="must differ"):
        dataclasses.replace(record, columns=(*record.columns, record.columns[0]))


def test_pictures_are_webp(out):
    with Image.open(next((out / "img").iterdir())) as image:
        assert image.format == "WEBP"
