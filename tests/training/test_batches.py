import pytest
import torch

from vitreous.errors import BadInputError, UnknownNameError
from vitreous.training import Batches, Stream, batches, harvest

from .standin import StandIn, pictures
from .test_store import Broken

PRE, POST = "blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"


@pytest.fixture
def store(tmp_path):
    return harvest(StandIn(), pictures(40), tmp_path, [PRE, POST], batch_size=4, images_per_shard=8)


def key(rows):
    return {tuple(row) for row in rows.tolist()}


def test_every_row_once_per_epoch_and_points_stay_aligned(store):
    seen = list(Batches(store, 36, epochs=2))
    assert len(seen) == len(Batches(store, 36, epochs=2)) == 20
    every = key(store.read(POST))
    for epoch in (seen[:10], seen[10:]):
        assert key(torch.cat([b[POST] for b in epoch])) == every
    pairs = {tuple(a): tuple(b) for a, b in zip(store.read(PRE).tolist(), store.read(POST).tolist(), strict=True)}
    for batch in seen:
        assert all(pairs[tuple(a)] == tuple(b) for a, b in zip(batch[PRE].tolist(), batch[POST].tolist(), strict=True))
    assert not torch.equal(seen[0][POST], seen[10][POST])


def test_batches_mix_the_whole_store(store):
    """Rows of one batch come from most shards, not from one."""
    where = {tuple(row): i for i, row in enumerate(store.read(POST).tolist())}
    for batch in Batches(store, 60, points=[POST]):
        shards = {where[tuple(row)] // 72 for row in batch[POST].tolist()}
        assert len(shards) == 5


def test_order_depends_on_the_seed_only(store):
    a, b, c = ([x[POST] for x in Batches(store, 36, seed=s)] for s in (1, 1, 2))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not torch.equal(a[0], c[0])


def test_gathered_from_shards_as_from_memory(store, monkeypatch):
    a = [x[POST] for x in Batches(store, 36)]
    monkeypatch.setattr(batches, "IN_MEMORY", 0)
    b = [x[POST] for x in Batches(store, 36)]
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_chosen_rows_only(store):
    rows = torch.arange(0, 360, 3)
    seen = torch.cat([x[POST] for x in Batches(store, 30, rows=rows)])
    assert key(seen) == key(store.take(POST, rows))


@pytest.mark.parametrize("after", [0, 1, 9, 10, 19, 20])
def test_state_continues_exactly(store, after):
    whole = [x[POST] for x in Batches(store, 36, epochs=2)]
    first = Batches(store, 36, epochs=2)
    source = iter(first)
    for _ in range(after):
        next(source)
    second = Batches(store, 36, epochs=2)
    second.load_state(first.state())
    rest = [x[POST] for x in second]
    assert len(rest) == 20 - after
    assert all(torch.equal(x, y) for x, y in zip(whole[after:], rest, strict=True))


def test_mistakes(store):
    with pytest.raises(BadInputError, match="360 rows"):
        Batches(store, 361)
    with pytest.raises(UnknownNameError):
        Batches(store, 36, points=["x"])
    with pytest.raises(BadInputError, match="seed"):
        Batches(store, 36, seed=1).load_state(Batches(store, 36).state())


def stream(**options):
    return Stream(
        StandIn(), pictures(21), [PRE, POST], 20, **{"block": 8, "images_per_forward": 4, "epochs": 2, **options}
    )


def test_stream_yields_the_models_rows_once_per_epoch(store):
    every = {tuple(round(v, 4) for v in row) for row in harvest_rows(21)}
    seen = list(stream())
    assert len(seen) == len(stream()) == 2 * (3 + 3 + 2)
    for epoch in (seen[:8], seen[8:]):
        rows = [tuple(round(v, 4) for v in row) for b in epoch for row in b[POST].tolist()]
        assert len(set(rows)) == len(rows) == 160
        assert set(rows) <= every


def harvest_rows(n):
    model = StandIn()
    _, cache = model.run_with_cache(model.preprocess(pictures(n)), [POST])
    return cache[POST][:, 1:].flatten(0, 1).tolist()


@pytest.mark.parametrize("after", [0, 1, 3, 8, 15, 16])
def test_stream_state_continues_exactly(after):
    whole = [x[POST] for x in stream()]
    first = stream()
    source = iter(first)
    for _ in range(after):
        next(source)
    second = stream()
    second.load_state(first.state())
    rest = [x[POST] for x in second]
    assert len(rest) == 16 - after
    assert all(torch.equal(x, y) for x, y in zip(whole[after:], rest, strict=True))


def test_stream_passes_over_bad_images():
    items = Broken(pictures(21), {3, 4, 5, 6, 7, 8})
    seen = list(Stream(StandIn(), items, [POST], 20, block=21, images_per_forward=4))
    assert len(seen) == 15 * 9 // 20


def test_stream_mistakes():
    with pytest.raises(BadInputError, match="72 rows"):
        Stream(StandIn(), pictures(21), [POST], 100, block=8)
    with pytest.raises(BadInputError, match="block"):
        stream(block=7).load_state(stream().state())
