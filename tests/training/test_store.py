import json
import os
from collections.abc import Sequence

import pytest
import torch
from PIL import Image

from vitreous.data.item import Item
from vitreous.errors import BadInputError, FormatError, StoreError, UnknownNameError
from vitreous.training import ActivationStore, harvest
from vitreous.training.extract import last_layer

from .standin import StandIn, pictures

PRE, POST = "blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"
SETTINGS = {"batch_size": 4, "images_per_shard": 8}


@pytest.fixture
def model():
    return StandIn()


def labelled(n, seed=0):
    return [Item(image, id=f"picture {i}", label="ab"[i % 2]) for i, image in enumerate(pictures(n, seed))]


def test_rows_are_the_models_activations_with_their_provenance(model, tmp_path):
    items = labelled(21)
    store = harvest(model, items, tmp_path / "s", [PRE, POST], tokens="all", **SETTINGS)
    assert (store.n_rows, store.points, store.d(POST), len(store.shards)) == (210, [PRE, POST], 8, 3)
    columns = store.columns
    for i in (0, 57, 123, 209):
        image, position = columns["image"][i].item(), columns["position"][i].item()
        _, cache = model.run_with_cache(model.preprocess([items[image].image]), [PRE, POST])
        for point in (PRE, POST):
            assert torch.allclose(store.read(point, i, i + 1)[0], cache[point][0, position], atol=1e-5)
        assert store.kinds[columns["kind"][i]] == model.tokens.kind[position]
        assert (columns["row"][i], columns["col"][i]) == (model.tokens.row[position], model.tokens.col[position])
        assert store.image_ids[image] == f"picture {image}"
        assert store.label_names[columns["label"][i]] == store.labels[image] == "ab"[image % 2]
    assert store.grid == (3, 3)
    assert store.meta["model"] == "stand-in"


def test_reading_crosses_shards(model, tmp_path):
    store = harvest(model, pictures(21), tmp_path, [POST], **SETTINGS)
    everything = store.read(POST)
    assert everything.shape == (189, 8)
    assert torch.equal(store.read(POST, 70, 150), everything[70:150])
    rows = torch.tensor([188, 0, 71, 72, 73, 71])
    assert torch.equal(store.take(POST, rows), everything[rows])
    assert store.read(POST, 5, 5).shape == (0, 8)
    with pytest.raises(BadInputError, match="189 rows"):
        store.read(POST, 0, 190)
    with pytest.raises(UnknownNameError, match="resid_post"):
        store.read("blocks.0.hook_resid_pots")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", torch.float16])
def test_dtypes(model, tmp_path, dtype):
    store = harvest(model, pictures(9), tmp_path / "s", [POST], dtype=dtype, **SETTINGS)
    exact = harvest(model, pictures(9), tmp_path / "exact", [POST], **SETTINGS)
    assert store.dtype == (dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype))
    assert torch.equal(store.read(POST), exact.read(POST).to(store.dtype))


def test_token_selection(model, tmp_path):
    assert harvest(model, pictures(4), tmp_path / "cls", [POST], tokens="cls").columns[
        "position"
    ].unique().tolist() == [0]
    patches = harvest(model, pictures(4), tmp_path / "patch", [POST])
    assert patches.columns["position"].unique().tolist() == list(range(1, 10))
    with pytest.raises(BadInputError, match="register"):
        harvest(model, pictures(4), tmp_path / "none", [POST], tokens="register")


def test_a_second_call_computes_nothing(model, tmp_path):
    first = harvest(model, pictures(21), tmp_path, [POST], **SETTINGS)
    times = {f: os.stat(tmp_path / f).st_mtime_ns for f in os.listdir(tmp_path)}
    calls = model.calls
    second = harvest(model, pictures(21), tmp_path, [POST], **SETTINGS)
    assert model.calls == calls + 1  # the trial image that finds the widths
    assert first.content_hash == second.content_hash
    assert times == {f: os.stat(tmp_path / f).st_mtime_ns for f in os.listdir(tmp_path)}


@pytest.mark.parametrize("harm", ["truncate", "flip", "delete", "delete json", "tear json"])
def test_a_damaged_shard_is_named_and_made_again(model, tmp_path, harm):
    whole = harvest(model, pictures(21), tmp_path, [POST], **SETTINGS)
    rows, digest = whole.read(POST).clone(), whole.content_hash
    shard = tmp_path / "shard-00001.safetensors"
    data = bytearray(shard.read_bytes())
    os.remove(shard)  # the store above has it mapped
    if harm == "flip":
        data[-5] ^= 4
    if harm != "delete":
        shard.write_bytes(data[: 100 if harm == "truncate" else None])
    if harm == "delete json":
        os.remove(shard.with_suffix(".json"))
    if harm == "tear json":
        shard.with_suffix(".json").write_text(shard.with_suffix(".json").read_text()[:50])
    with pytest.raises(StoreError, match=r"shard-00001.*same harvest again"):
        ActivationStore(tmp_path).read(POST)
    if harm == "flip":
        with pytest.raises(StoreError, match="shard-00001"):
            ActivationStore(tmp_path).verify()
        assert ActivationStore(tmp_path).read(POST, 0, 72).shape[0] == 72  # the other shards stay readable
    calls = model.calls
    again = harvest(model, pictures(21), tmp_path, [POST], **SETTINGS)
    assert model.calls - calls == 1 + 2  # the trial and two batches of one shard
    assert again.content_hash == digest
    assert torch.equal(again.read(POST), rows)
    again.verify()


def test_other_arguments_are_refused(model, tmp_path):
    harvest(model, pictures(9), tmp_path, [POST], **SETTINGS)
    for change in ({"tokens": "all"}, {"dtype": "bfloat16"}, {"batch_size": 8}, {"limit": 8}):
        with pytest.raises(BadInputError, match=next(iter(change)).replace("limit", "n_items")):
            harvest(model, pictures(9), tmp_path, [POST], **{**SETTINGS, **change})
    with pytest.raises(BadInputError, match="model_hash"):
        harvest(StandIn(seed=1), pictures(9), tmp_path, [POST], **SETTINGS)
    with pytest.raises(BadInputError, match="points"):
        harvest(model, pictures(9), tmp_path, [PRE], **SETTINGS)


class Broken(Sequence):
    """A sequence in which some images cannot be read."""

    def __init__(self, items, bad):
        self.items, self.bad = items, bad

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        if index in self.bad:
            raise FormatError(f"image {index} is damaged")
        return self.items[index]


def test_bad_images_are_skipped_counted_and_reported(model, tmp_path):
    items = labelled(21)
    whole = harvest(model, items, tmp_path / "whole", [POST], **SETTINGS)
    bad = {0, 9, 20, *range(12, 16)}
    store = harvest(model, Broken(items, bad), tmp_path / "s", [POST], **SETTINGS)
    assert {entry["index"] for entry in store.skipped} == bad
    assert "image 9 is damaged" in next(e["error"] for e in store.skipped if e["index"] == 9)
    assert store.manifest["n_skipped"] == 7
    assert store.manifest["n_images"] == 14
    assert set(store.columns["image"].tolist()) == set(range(21)) - bad
    keep = torch.tensor([i.item() not in bad for i in whole.columns["image"]])
    assert torch.allclose(store.read(POST), whole.read(POST)[keep], atol=1e-6)
    assert [store.image_ids[i] for i in (1, 8)] == ["picture 1", "picture 8"]


def test_an_image_that_cannot_be_preprocessed_costs_only_itself(model, tmp_path):
    items = pictures(9)
    good = model.preprocess

    def picky(images):
        if any(image.size == (1, 1) for image in images):
            raise ValueError("too small")
        return good(images)

    model.preprocess = picky
    items[5] = Image.new("RGB", (1, 1))
    store = harvest(model, items, tmp_path, [POST], **SETTINGS)
    assert [(e["index"], e["error"]) for e in store.skipped] == [(5, "ValueError: too small")]
    assert store.n_rows == 8 * 9


def test_a_whole_shard_of_bad_images(model, tmp_path):
    store = harvest(model, Broken(pictures(21), set(range(8, 16))), tmp_path, [POST], **SETTINGS)
    assert [s.rows for s in store.shards] == [72, 0, 45]
    assert store.read(POST).shape[0] == 117
    assert harvest(model, Broken(pictures(21), set(range(8, 16))), tmp_path, [POST], **SETTINGS).n_rows == 117


def test_nothing_readable(model, tmp_path):
    with pytest.raises(BadInputError, match=r"none of the 9 images.*damaged"):
        harvest(model, Broken(pictures(9), set(range(9))), tmp_path / "a", [POST], **SETTINGS)
    with pytest.raises(BadInputError, match="no images"):
        harvest(model, [], tmp_path / "b", [POST], **SETTINGS)


@pytest.mark.parametrize("n", [3, 8, 16, 21])
def test_iterables_give_the_same_store_as_sequences(model, tmp_path, n):
    a = harvest(model, pictures(n), tmp_path / "a", [POST], **SETTINGS)
    b = harvest(model, (p for p in pictures(n)), tmp_path / "b", [POST], **SETTINGS)
    assert a.content_hash == b.content_hash
    os.remove(tmp_path / "b" / "shard-00000.json")
    c = harvest(model, (p for p in pictures(n)), tmp_path / "b", [POST], **SETTINGS)
    assert c.content_hash == a.content_hash
    d = harvest(model, (p for p in pictures(30)), tmp_path / "d", [POST], limit=n, **SETTINGS)
    assert d.content_hash == a.content_hash


def test_progress_counts_images(model, tmp_path):
    seen = []
    harvest(model, pictures(21), tmp_path, [POST], progress=lambda done, total: seen.append((done, total)), **SETTINGS)
    assert seen[-1] == (21, 21)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_unfinished_and_foreign_folders(model, tmp_path):
    harvest(model, pictures(9), tmp_path / "s", [POST], **SETTINGS)
    path = tmp_path / "s" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "complete": False}))
    with pytest.raises(StoreError, match="not finished"):
        ActivationStore(tmp_path / "s")
    path.write_text(json.dumps({**manifest, "format_version": 7}))
    with pytest.raises(FormatError, match="7"):
        ActivationStore(tmp_path / "s")
    path.write_text("{]")
    with pytest.raises(FormatError, match="damaged"):
        ActivationStore(tmp_path / "s")
    with pytest.raises(StoreError, match="no activation store"):
        ActivationStore(tmp_path / "nowhere")


def test_a_full_disk_stops_clearly_and_leaves_the_store_usable(model, tmp_path, monkeypatch):
    real, left = os.fsync, [7]

    def filling(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", filling)
    with pytest.raises(StoreError, match="No space left"):
        harvest(model, pictures(21), tmp_path, [POST], **SETTINGS)
    monkeypatch.setattr(os, "fsync", real)
    assert not [f for f in os.listdir(tmp_path) if f.endswith(".part")]
    assert harvest(model, pictures(21), tmp_path, [POST], **SETTINGS).n_rows == 189


def test_a_path_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        harvest(model, pictures(4), tmp_path / "file" / "s", [POST])
    with pytest.raises(StoreError, match="not a folder"):
        harvest(model, pictures(4), tmp_path / "file", [POST])


def test_points_must_have_positions(model, tmp_path):
    run = model.run_with_cache
    model.run_with_cache = lambda *a, **k: (None, {POST: run(*a, **k)[1][POST][:, 0]})
    with pytest.raises(BadInputError, match="one vector per position"):
        harvest(model, pictures(4), tmp_path, [POST])


def test_last_layer():
    assert last_layer(["blocks.4.hook_resid_post", "blocks.11.attn.hook_z"]) == 12
    assert last_layer(["blocks.4.hook_resid_post", "hook_embed"]) is None
