"""The sampler is exact: never a positive, and uniform over all that is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ncf.data.items_by_user import ItemsByUser
from ncf.errors import InputError
from ncf.training.negatives import NegativeSampler

CPU = torch.device("cpu")
SEARCH_ONLY = 0
WAYS = pytest.mark.parametrize("bitmap_bytes", [SEARCH_ONLY, 1 << 20])


def exclusion(rows: list[set[int]]) -> ItemsByUser:
    users = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])
    return ItemsByUser.of_sorted(users, np.array([i for row in rows for i in sorted(row)], np.int32), len(rows))


@WAYS
@settings(max_examples=60, deadline=None)
@given(
    n_items=st.integers(2, 40),
    data=st.data(),
    seed=st.integers(0, 1000),
)
def test_never_draws_a_positive(bitmap_bytes: int, n_items: int, data: st.DataObject, seed: int) -> None:
    rows = data.draw(st.lists(st.sets(st.integers(0, n_items - 1), max_size=n_items - 1), min_size=1, max_size=6))
    sampler = NegativeSampler(exclusion(rows), n_items, CPU, bitmap_bytes)
    users = torch.arange(len(rows), dtype=torch.int32).repeat_interleave(3)
    drawn = sampler.draw(users, 5, torch.Generator().manual_seed(seed))
    assert drawn.shape == (len(users), 5)
    assert drawn.min() >= 0
    assert drawn.max() < n_items
    for user, items in zip(users.tolist(), drawn.tolist(), strict=True):
        assert not rows[user] & set(items)


@WAYS
@pytest.mark.parametrize("left", [1, 3, 17, 40])
def test_draws_uniformly_from_what_is_left(bitmap_bytes: int, left: int) -> None:
    n_items, rng = 40, np.random.default_rng(left)
    positives = set(rng.permutation(n_items)[left:].tolist())
    sampler = NegativeSampler(exclusion([set(), positives, {0}]), n_items, CPU, bitmap_bytes)
    drawn = sampler.draw(torch.ones(20_000, dtype=torch.int32), 2, torch.Generator().manual_seed(left))
    counts = np.bincount(drawn.flatten().numpy(), minlength=n_items)
    assert set(np.flatnonzero(counts)) == set(range(n_items)) - positives
    assert left == 1 or chisquare(counts[counts > 0]).pvalue > 1e-4


def test_a_user_who_has_everything_is_an_error() -> None:
    with pytest.raises(InputError, match="all 3 items"):
        NegativeSampler(exclusion([{0}, {0, 1, 2}]), 3, CPU)
