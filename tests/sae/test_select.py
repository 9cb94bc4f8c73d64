import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.sae.select import top_k


@settings(max_examples=60)
@given(st.integers(0, 6), st.integers(1, 300), st.integers(1, 12), st.integers(0, 10**6))
def test_same_values_as_a_full_sort(rows, n, k, seed):
    k = min(k, n)
    x = torch.randn(rows, n, generator=torch.Generator().manual_seed(seed))
    values, indices = top_k(x, k)
    assert torch.equal(values.sort(1).values, x.sort(1).values[:, n - k :])
    assert torch.equal(x.gather(1, indices), values)


@pytest.mark.parametrize("n", [64, 512, 1536])
def test_ties_give_different_columns(n):
    x = torch.randint(0, 3, (50, n)).float()
    values, indices = top_k(x, 8)
    assert all(len(set(row)) == 8 for row in indices.tolist())
    assert torch.equal(values.sort(1).values, x.sort(1).values[:, -8:])
