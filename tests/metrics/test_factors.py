import math

import pytest
import torch
from reference.detection import auroc_of, best_unit_of, f1_of

from vitreous.errors import BadInputError
from vitreous.metrics import best_f1, factor_recovery, linear_probes, pca_directions, random_directions
from vitreous.metrics.factors import _check as check_shapes
from vitreous.metrics.factors import binned_bounds


def noisy(rows, units, factors, seed, sparse=False, ties=False):
    """Random scores and truths that depend on some of them."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, units, generator=generator)
    noise = torch.randn(rows, factors, generator=generator)
    truth = scores[:, torch.arange(factors) % units] + noise > 1.0
    if sparse:
        scores = torch.relu(scores - 0.8)
    return (scores.round(decimals=1) if ties else scores), truth


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("sparse", "ties"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("seed", range(3))
def test_the_search_is_exact(signed, sparse, ties, seed):
    scores, truth = noisy(60, 7, 3, seed, sparse, ties)
    found = factor_recovery(scores, truth, scores, truth, signed=signed)
    signs = (1, -1) if signed else (1,)
    for i in range(3):
        assert found.fit_f1[i].item() == pytest.approx(best_unit_of(scores, truth[:, i].tolist(), signs))
        assert found.f1[i].item() == pytest.approx(found.fit_f1[i].item())  # the same rows, the same rule


@pytest.mark.parametrize("sparse", [False, True])
def test_bounds_hold_with_more_rows_than_are_sampled(sparse):
    """Edges come from a sample; the bounds must hold for all rows, and so the search stays exact."""
    scores, truth = noisy(9000, 5, 4, 0, sparse)
    truth[:, 3] = False
    truth[17, 3] = True  # a factor so rare that the sample misses it
    bounds = binned_bounds(scores, truth, signed=True)
    found = factor_recovery(scores, truth, scores, truth, signed=True)
    for factor in range(4):
        exact = torch.tensor(
            [[best_f1(sign * scores[:, u], truth[:, factor])[0] for u in range(5)] for sign in (1, -1)]
        ).double()
        assert (bounds.low[:, :, factor] <= exact + 1e-6).all()
        assert (bounds.high[:, :, factor] >= exact - 1e-6).all()
        assert found.fit_f1[factor].item() == pytest.approx(exact.max().item(), abs=1e-6)


def test_planted_units_are_found_and_scored_on_the_other_split():
    generator = torch.Generator().manual_seed(3)
    truth = torch.rand(2000, 3, generator=generator) < 0.1
    scores = torch.rand(2000, 50, generator=generator)
    for factor, unit in enumerate((7, 0, 49)):
        scores[:, unit] += 2.0 * truth[:, factor]
    found = factor_recovery(scores[:1000], truth[:1000], scores[1000:], truth[1000:])
    assert found.unit.tolist() == found.auroc_unit.tolist() == [7, 0, 49]
    assert (found.f1 == 1).all()
    assert (found.auroc == 1).all()
    assert ((found.threshold > 1) & (found.threshold < 2.2)).all()
    assert found.base_rate.tolist() == pytest.approx(truth[1000:].double().mean(0).tolist())


def test_test_scores_are_not_used_to_choose():
    """A unit that is right on the test rows only must not be picked."""
    truth = torch.rand(400, 1) < 0.3
    scores = torch.rand(400, 4)
    scores[:200, 1] += truth[:200, 0] * 0.6
    scores[200:, 2] += truth[200:, 0] * 5
    found = factor_recovery(scores[:200], truth[:200], scores[200:], truth[200:])
    assert found.unit.tolist() == [1]
    predicted = (scores[200:, 1] >= found.threshold[0]).tolist()
    assert found.f1[0].item() == pytest.approx(f1_of(predicted, truth[200:, 0].tolist()))
    assert found.auroc[0].item() == pytest.approx(auroc_of(scores[200:, 1].tolist(), truth[200:, 0].tolist()))


def test_dense_directions_may_detect_by_low_scores():
    truth = torch.rand(500, 1) < 0.2
    scores = torch.randn(500, 3) * 0.1
    scores[:, 2] -= truth[:, 0].float()
    one, both = (factor_recovery(scores, truth, scores, truth, signed=s) for s in (False, True))
    assert one.f1[0] < 0.5
    assert both.f1[0] > 0.95
    assert (both.unit.item(), both.sign.item()) == (2, -1)
    assert both.auroc[0] > 0.99


def test_factors_without_examples_are_nan():
    scores, truth = noisy(50, 4, 3, 0)
    never, always = truth.clone(), truth.clone()
    never[:, 1] = False
    always[:, 1] = True
    for fit in (never, always):
        found = factor_recovery(scores, fit, scores, truth)
        assert math.isnan(found.f1[1])
        assert found.unit[1] == -1
        assert not math.isnan(found.f1[0])
    found = factor_recovery(scores, truth, scores, never)
    assert math.isnan(found.f1[1])


def test_bad_shapes():
    scores, truth = noisy(50, 4, 3, 0)
    with pytest.raises(BadInputError, match="49"):
        check_shapes(scores, truth, scores[:49], truth)  # shape annotations would be first to complain in tests
    with pytest.raises(BadInputError, match="NaN"):
        factor_recovery(scores / 0, truth, scores, truth)


def test_probe_is_a_ceiling_and_reads_what_no_axis_shows():
    x = torch.randn(3000, 6)
    truth = torch.stack([x.sum(1) > 1.5, x[:, 0] > 1, torch.rand(3000) < 0.2], dim=1)
    probes = linear_probes(x[:1500], truth[:1500], x[1500:], truth[1500:])
    single = factor_recovery(x[:1500], truth[:1500], x[1500:], truth[1500:], signed=True)
    assert probes.f1[0] > 0.95 > 0.8 > single.f1[0]
    assert probes.auroc[1] > 0.99
    assert probes.auroc[2] == pytest.approx(0.5, abs=0.1)


def test_directions():
    x = torch.randn(500, 4) * torch.tensor([1.0, 5.0, 2.0, 0.1]) + 3
    directions = pca_directions(x)
    assert torch.allclose(directions.t() @ directions, torch.eye(4), atol=1e-5)
    assert directions[:, 0].abs().argmax() == 1
    variances = (x @ directions).var(0)
    assert (variances[:-1] >= variances[1:]).all()
    assert pca_directions(x, 2).shape == (4, 2)
    assert torch.allclose(random_directions(5, 9).norm(dim=0), torch.ones(9))
    assert torch.equal(random_directions(5, 9, seed=1), random_directions(5, 9, seed=1))
    with pytest.raises(BadInputError, match="5 principal"):
        pca_directions(x, 5)
