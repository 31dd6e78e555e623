"""Draws are exact: never a positive, never a repeat, each item with its due chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.sampling.negatives import Strategy, draw_rows

STRATEGIES: tuple[Strategy, ...] = ("uniform", "popularity")


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[ItemsByUser, int, int]:
    n_users, n_items = draw(st.integers(1, 8)), draw(st.integers(2, 40))
    rows = draw(
        st.lists(st.sets(st.integers(0, n_items - 1), max_size=n_items - 1), min_size=n_users, max_size=n_users)
    )
    pairs = np.array([(u, i) for u, row in enumerate(rows) for i in row], np.int32).reshape(-1, 2)
    known = ItemsByUser.of(pairs[:, 0], pairs[:, 1], n_users)
    width = draw(st.integers(1, n_items - max(len(row) for row in rows)))
    return known, n_items, width


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(catalogue=catalogues(), seed=st.integers(0, 2**32 - 1), repeats=st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_rows_hold_distinct_unknown_items(
    strategy: Strategy, catalogue: tuple[ItemsByUser, int, int], seed: int, repeats: int
) -> None:
    known, n_items, width = catalogue
    users = np.repeat(np.arange(known.n_users, dtype=np.int32), repeats)
    weights = np.arange(1, n_items + 1)
    rows = draw_rows(users, known, n_items, width, np.random.default_rng(seed), strategy, weights)
    assert rows.shape == (len(users), width)
    for user, row in zip(users, rows.tolist(), strict=True):
        assert len(set(row)) == width
        assert not set(row) & set(known.of_user(user).tolist())
        assert min(row) >= 0
        assert max(row) < n_items
    again = draw_rows(users, known, n_items, width, np.random.default_rng(seed), strategy, weights)
    assert np.array_equal(rows, again)


@pytest.mark.parametrize("width", [3, 12])  # drawn by rejection of repeats, and by permutation
def test_uniform_over_what_remains(width: int) -> None:
    n_items, positives = 20, [0, 1, 7, 19]
    known = ItemsByUser(np.array([0, 4]), np.array(positives, np.int32))
    rows = draw_rows(np.zeros(20_000, np.int32), known, n_items, width, np.random.default_rng(1))
    counts = np.bincount(rows.ravel(), minlength=n_items)
    assert not counts[positives].any()
    remaining = np.delete(counts, positives)
    # counts of draws without replacement vary less than a multinomial's: scale to their own variance
    share = width / 16
    statistic = ((remaining - 20_000 * share) ** 2).sum() / (20_000 * share * (1 - share)) * 15 / 16
    assert 1e-4 < stats.chi2.sf(statistic, 15) < 1 - 1e-4
    # pairs too: each pair of items is drawn together equally often
    member = np.zeros((20_000, n_items), bool)
    np.put_along_axis(member, rows, True, axis=1)
    together = (member.T.astype(float) @ member)[np.triu_indices(n_items, 1)]
    together = together[together > 0]
    expected = 20_000 * width * (width - 1) / (16 * 15)
    assert len(together) == 16 * 15 / 2
    assert np.abs(together - expected).max() < 6 * np.sqrt(expected)


def test_popularity_draws_successively_by_weight() -> None:
    weights = np.array([5, 1, 3, 1, 100])
    known = ItemsByUser(np.array([0, 1]), np.array([4], np.int32))
    first = draw_rows(np.zeros(40_000, np.int32), known, 5, 1, np.random.default_rng(2), "popularity", weights)
    counts = np.bincount(first.ravel(), minlength=5)
    assert stats.chisquare(counts[:4], 40_000 * weights[:4] / 10).pvalue > 1e-4
    pairs = draw_rows(np.zeros(40_000, np.int32), known, 5, 2, np.random.default_rng(3), "popularity", weights)
    missing = 1 - np.bincount(pairs.ravel(), minlength=5)[:4] / 40_000
    shares = weights[:4] / 10
    expected = [  # chance that neither of two successive draws takes the item
        (1 - shares[i]) - sum(shares[j] * shares[i] / (1 - shares[j]) for j in range(4) if j != i) for i in range(4)
    ]
    assert np.allclose(missing, expected, atol=0.012)


def test_too_few_items_left_is_refused() -> None:
    known = ItemsByUser(np.array([0, 2, 5]), np.array([0, 1, 0, 1, 2], np.int32))
    with pytest.raises(ValueError, match="fewer than 2 of the 4 items left"):
        draw_rows(np.array([0, 1], np.int32), known, 4, 2, np.random.default_rng(0))
