import numpy as np
import pytest

from vitreous.dashboards import collect
from vitreous.data.source import Items
from vitreous.errors import BadInputError, UnknownNameError

from .fake import COLS, PLANTED, ROWS, factors, world
from .oracle import cells, dense, top_images


@pytest.fixture(scope="module")
def made():
    return world()


@pytest.fixture(scope="module")
def record(made):
    return collect(made.coder, made.store, made.items, factors=factors(made), top=6, per_group=3, batch=7)


def group(record, name):
    return next(g for g in record.groups if g.name == name)


def image_of(made, record, picture):
    return made.store.image_ids.index(record.pictures[picture].id)


def test_statistics_equal_dense_codes(made, record):
    z = dense(made)
    fires = z > 0
    np.testing.assert_allclose(record.column("density").values, fires.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(record.column("frequency").values, fires.any(1).mean(0), rtol=1e-6)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(record.column("mean").values, z.sum((0, 1)) / fires.sum((0, 1)), rtol=1e-5)
    peak = z.max((0, 1))
    np.testing.assert_allclose(record.column("max").values, np.where(peak > 0, peak, np.nan), rtol=1e-6)
    share = fires[:, 0].sum(0) / np.maximum(fires.sum((0, 1)), 1)
    share[fires.sum((0, 1)) == 0] = np.nan
    np.testing.assert_allclose(record.column("elsewhere").values, share, rtol=1e-6)
    assert record.column("state").names[record.column("state").values[9]] == "dead"


def test_histogram_and_position_equal_dense_codes(made, record):
    z = dense(made)
    for latent in range(made.coder.n_latents):
        x = z[:, :, latent].ravel()
        top = record.histogram.top[latent]
        assert record.histogram.zero[latent] == (x == 0).sum()
        if (x > 0).any():
            expected = np.histogram(x[x > 0], bins=64, range=(0, top))[0]
            assert record.histogram.counts[latent].tolist() == expected.tolist()
    np.testing.assert_allclose(record.position.T, cells(made).mean(0), rtol=1e-4, atol=1e-6)


def test_top_images_and_heatmaps_equal_brute_force(made, record):
    top, z = group(record, "top"), cells(made)
    for latent in range(made.coder.n_latents):
        pictures = [p for p in top.picture[latent] if p >= 0]
        images = [image_of(made, record, p) for p in pictures]
        assert images == top_images(made, latent, 6)
        for slot, image in enumerate(images):
            plane = np.zeros(z.shape[1])
            cell, value = top.heat.of(latent * 6 + slot)
            plane[cell] = value
            np.testing.assert_allclose(plane, z[image, :, latent], rtol=1e-6)
            assert top.peak[latent, slot] == pytest.approx(plane.max())


def test_planted_latent_peaks_inside_the_true_mask_and_lights_all_of_it(made, record):
    top = group(record, "top")
    for slot in range(6):
        image = image_of(made, record, top.picture[PLANTED, slot])
        cell, value = top.heat.of(PLANTED * 6 + slot)
        assert made.masks[image].ravel()[cell[value.argmax()]]
        assert set(cell[cell < ROWS * COLS]) == set(np.flatnonzero(made.masks[image]))


def test_groups_hold_what_they_promise(made, record):
    fires = (dense(made) > 0).any(1)
    peak = dense(made).max(1)
    for name in ("quantiles", "uniform"):
        for latent, row in enumerate(group(record, name).picture):
            images = [image_of(made, record, p) for p in row if p >= 0]
            assert all(fires[i, latent] for i in images)
            assert len(set(images)) == len(images)
            assert len(images) > 0 or not fires[:, latent].any()
    for name in ("near", "silent"):
        for latent, row in enumerate(group(record, name).picture):
            assert not any(fires[image_of(made, record, p), latent] for p in row if p >= 0)
    quantiles = group(record, "quantiles")
    for latent, row in enumerate(quantiles.picture):
        values = [peak[image_of(made, record, p), latent] for p in row if p >= 0]
        assert values == sorted(values, reverse=True)
        np.testing.assert_allclose(values, quantiles.peak[latent][row >= 0], rtol=1e-6)


def test_enrichment_counts_equal_brute_force(made, record):
    factor, label = record.enrichments
    z = cells(made) > 0
    truth = factors(made)
    for j, name in enumerate(factor.names):
        on_patch = z[:, : ROWS * COLS].reshape(len(z), ROWS, COLS, -1)
        assert factor.joint[:, j].tolist() == (on_patch & truth[name][..., None]).sum((0, 1, 2)).tolist()
        assert factor.present[j] == truth[name].sum()
    assert factor.total == len(z) * ROWS * COLS
    for j, name in enumerate(label.names):
        of_class = np.array(made.labels) == name
        assert label.joint[:, j].tolist() == z.any(1)[of_class].sum(0).tolist()
        assert label.present[j] == of_class.sum()


def test_neighbours_equal_brute_force(made, record):
    w = made.coder.W_dec.numpy()
    unit = w / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    near = record.neighbours[0]
    np.testing.assert_allclose(near.score, np.sort(cosine, axis=1)[:, ::-1][:, :8], atol=1e-5)
    rows = np.arange(len(cosine))[:, None]
    np.testing.assert_allclose(cosine[rows, near.index], near.score, atol=1e-5)


def test_result_does_not_depend_on_the_batch_and_memory_stays_bounded(made, record):
    made.store.largest_read = 0
    other = collect(made.coder, made.store, made.items, factors=factors(made), top=6, per_group=3, batch=20)
    assert made.store.largest_read == 20 * (ROWS * COLS + 1)
    assert [p.id for p in other.pictures] == [p.id for p in record.pictures]
    for a, b in zip(record.groups, other.groups, strict=True):
        assert np.array_equal(a.picture, b.picture)
        assert np.array_equal(a.heat.cell, b.heat.cell)
    assert np.array_equal(record.histogram.counts, other.histogram.counts)


def test_only_chosen_images_are_opened_and_their_provenance_is_kept():
    made = world(200, n_latents=10)
    opened = []

    class Lazy(dict):
        def __getitem__(self, name):
            opened.append(name)
            return super().__getitem__(name)

    items = Lazy({item.id: item for item in made.items})
    record = collect(made.coder, made.store, items, top=1, per_group=1)
    chosen = {p.id for p in record.pictures}
    assert len(chosen) < 60
    assert chosen <= set(opened) <= chosen | {made.items[0].id}  # beartype looks at the first one
    picture = record.pictures[0]
    assert (picture.licence, picture.source) == ("CC0-1.0", "drawn")
    assert picture.image.size == made.items[0].image.size


def test_complete_codes_of_explorable_images_equal_the_coder(made):
    record = collect(made.coder, made.store, made.items, top=6, per_group=2, explore=7, batch=9)
    z, codes = cells(made), record.codes
    assert len(codes.picture) == 7
    for i, picture in enumerate(codes.picture):
        part = slice(codes.start[i], codes.start[i + 1])
        plane = np.zeros(z.shape[1:])
        plane[codes.cell[part], codes.latent[part]] = codes.value[part]
        np.testing.assert_allclose(plane, z[image_of(made, record, picture)], rtol=1e-6)


def test_lazy_sources_open_only_what_is_shown_and_survive_a_bad_image(made):
    opened = []

    def read(i):
        opened.append(i)
        if i == 4:
            raise BadInputError("image_004.png is damaged")
        return made.items[i]

    images = Items("lazy", range(60), read, lambda i: made.items[i].id)
    record = collect(made.coder, made.store, images, top=2, per_group=1)
    assert len(opened) == len(record.pictures)
    missing = [p.id for p in record.pictures if p.image is None]
    assert missing == [name for name in ["image_004.png"] if name in {p.id for p in record.pictures}]


def test_view_and_missing_pictures(made):
    view = lambda image: image.resize((20, 20))  # noqa: E731
    record = collect(made.coder, made.store, made.items[:5], view=view, top=3, per_group=2)
    known = [p for p in record.pictures if p.image is not None]
    assert 0 < len(known) <= 5
    assert {p.image.size for p in known} == {(20, 20)}
    assert collect(made.coder, made.store, None, top=3, per_group=2).pictures[0].image is None


def test_header_says_where_it_comes_from(record):
    assert record.header["model"] == "fake/vit"
    assert record.header["hook point"] == "blocks.1.hook_resid_post"
    assert record.header["images"] == 60
    assert {"coder", "data", "vitreous", "date", "grid"} <= set(record.header)


def test_user_mistakes_are_named(made):
    with pytest.raises(UnknownNameError, match=r"blocks.1.hook_resid_post"):
        collect(made.coder, made.store, point="blocks.1.hook_resid_pos")
    with pytest.raises(BadInputError, match="2 labels for 60 images"):
        collect(made.coder, made.store, labels=["a", "b"])
    with pytest.raises(BadInputError, match="factor 'x' has shape"):
        collect(made.coder, made.store, factors={"x": np.zeros((60, 2, 2), bool)})


def test_stores_without_cls():
    bare = world(12, cls=False)
    record = collect(bare.coder, bare.store, top=2, per_group=1)
    assert record.extra == ()
    assert record.n_cells == ROWS * COLS
