import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.detection import auroc_of, best_f1_of, f1_of
from sklearn.metrics import f1_score, roc_auc_score

from vitreous.metrics import auroc, best_f1, f1

ROWS = st.lists(st.tuples(st.sampled_from([-1.5, 0.0, 0.25, 1.0, 2.0, 2.5]), st.booleans()), min_size=2, max_size=30)


@given(ROWS)
def test_against_exhaustion(rows):
    scores, truth = [s for s, _ in rows], [t for _, t in rows]
    tensor, mask = torch.tensor(scores), torch.tensor(truth)
    if any(truth):
        value, threshold = best_f1(tensor, mask)
        assert value == pytest.approx(best_f1_of(scores, truth))
        assert f1(tensor >= threshold, mask).item() == pytest.approx(value)
    if any(truth) and not all(truth):
        assert auroc(tensor, mask).item() == pytest.approx(auroc_of(scores, truth))


def test_against_scikit_learn():
    scores, truth = torch.randn(400).round(decimals=1), torch.rand(400) < 0.2
    assert auroc(scores, truth).item() == pytest.approx(roc_auc_score(truth.numpy(), scores.numpy()))
    assert f1(scores > 0, truth).item() == pytest.approx(f1_score(truth.numpy(), (scores > 0).numpy()))
    assert f1(scores > 0, truth).item() == pytest.approx(f1_of((scores > 0).tolist(), truth.tolist()))


def test_one_class_is_nan():
    assert math.isnan(f1(torch.tensor([True]), torch.tensor([False])).item())
    assert math.isnan(auroc(torch.randn(3), torch.ones(3, dtype=torch.bool)).item())


def test_the_threshold_lies_between_neighbouring_floats():
    high = torch.tensor(1.0)
    low = torch.nextafter(high, torch.tensor(0.0))
    value, threshold = best_f1(torch.stack([high, low]), torch.tensor([True, False]))
    assert value == 1
    assert (torch.stack([high, low]) >= threshold).tolist() == [True, False]
