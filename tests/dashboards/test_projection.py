import numpy as np
import pytest
import torch

from vitreous.dashboards import compare
from vitreous.dashboards.comparison import match
from vitreous.dashboards.projection import project
from vitreous.dashboards.record import Column, Record
from vitreous.errors import BadInputError, UnknownNameError


def clusters():
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(4, 16, generator=generator), dim=1)
    return (centres[:, None] + 0.05 * torch.randn(4, 12, 16, generator=generator)).flatten(0, 1)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_neighbours_in_a_cluster_stay_together(method):
    place = project(clusters(), method)
    assert np.abs(place.place).max() == pytest.approx(1.0)
    parts = place.place.reshape(4, 12, 2)
    within = np.linalg.norm(parts - parts.mean(1, keepdims=True), axis=-1).mean()
    between = np.linalg.norm(parts.mean(1) - parts.mean((0, 1)), axis=-1).mean()
    assert within < between / 3
    assert np.array_equal(place.place, project(clusters(), method).place)  # the seed decides
    assert {"pca": "PCA", "tsne": "t-SNE"}[method] in place.about


def test_pca_places_are_the_first_two_components():
    x = torch.nn.functional.normalize(clusters(), dim=1).numpy()
    scores = np.linalg.svd(x - x.mean(0), full_matrices=False)
    expected = scores[0][:, :2] * scores[1][:2]
    found = project(clusters(), "pca").place
    assert np.abs(np.corrcoef(found[:, 0], expected[:, 0])[0, 1]) == pytest.approx(1, abs=1e-4)
    assert np.abs(np.corrcoef(found[:, 1], expected[:, 1])[0, 1]) == pytest.approx(1, abs=1e-4)


def test_few_or_narrow_directions_still_make_a_map():
    assert project(torch.randn(3, 5)).place.shape == (3, 2)
    assert project(torch.randn(6, 1), "pca").place.shape == (6, 2)
    with pytest.raises(UnknownNameError, match="tsne"):
        project(torch.randn(3, 5), "tsn")


def bare(n):
    return Record({"model": "m"}, (0, 0), (), (Column("x", "X", "", np.arange(float(n))),), ())


def test_match_finds_a_permutation_and_its_scores_are_brute_force():
    a = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    index, score = match(a, 3 * a[order], block=7)
    assert order[index.astype(int)].tolist() == list(range(30))
    np.testing.assert_allclose(score, 1, atol=1e-6)
    other = torch.randn(11, 8)
    unit = lambda x: x / x.norm(dim=1, keepdim=True)  # noqa: E731
    np.testing.assert_allclose(match(a, other)[1], (unit(a) @ unit(other).T).max(1).values, atol=1e-6)


def test_compare_adds_a_column_and_checks_its_input():
    a, b = torch.randn(5, 4), torch.randn(3, 4)
    both = compare(bare(5), bare(3), a, b, "seed 1")
    assert np.array_equal(both.column("match").values, both.comparison.score)
    assert both.comparison.back_index.shape == (3,)
    with pytest.raises(BadInputError, match="width"):
        compare(bare(5), bare(3), a, torch.randn(3, 9))
    with pytest.raises(BadInputError, match="one direction per latent"):
        compare(bare(5), bare(4), a, b)
