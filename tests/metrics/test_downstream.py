import math

import pytest
import torch

from vitreous.metrics import accuracy, cross_entropy, recovered


def test_cross_entropy_is_the_mean_negative_log_probability():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = -sum(math.log(torch.softmax(logits[i].double(), 0)[labels[i]]) for i in range(6)) / 6
    assert cross_entropy(logits, labels).item() == pytest.approx(expected)
    assert cross_entropy(100 * logits, labels) != cross_entropy(logits, labels)


def test_accuracy():
    assert accuracy(torch.eye(4), torch.tensor([0, 1, 0, 0])).item() == 0.5


def test_recovered():
    assert recovered(clean=0.9, spliced=0.9, ablated=0.1) == 1
    assert recovered(clean=0.9, spliced=0.1, ablated=0.1) == 0
    assert recovered(clean=1.0, spliced=0.5, ablated=3.0) > 1
    assert math.isnan(recovered(clean=1.0, spliced=0.5, ablated=1.0))
