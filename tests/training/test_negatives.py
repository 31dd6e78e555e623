"""The sampler is exact: never a positive, and uniform over all that is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig
from ncf.training import kernel
from ncf.training.backends import make_source
from ncf.training.kernel.draws import Draws
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


@pytest.mark.parametrize("compiled", [True, False])
def test_negatives_of_a_user_with_all_items_are_drawn_from_all(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "is_available", lambda: compiled)
    known = exclusion([{0}, {0, 1, 2}, set(), {1, 2}])
    config = ModelConfig(model="gmf", factors=1, tower=[], n_users=4, n_items=3)
    source = make_source(known, None, known, range(4), config, 100, [1], CPU)
    ((users, items),) = source.epoch(1, 1).batches(0)
    drawn = {user: {*items[users == user, 1:].flatten().tolist()} for user in (0, 1, 3)}
    assert drawn == {0: {1, 2}, 1: {0, 1, 2}, 3: {0}}
    own = make_source(known, None, known, range(1, 2), config, 100, [1], CPU)  # a process that owns this user alone
    ((users, items),) = own.epoch(1, 1).batches(0)
    assert users.tolist() == [0, 0, 0]
    assert {*items[:, 1:].flatten().tolist()} == {0, 1, 2}


@WAYS
@settings(max_examples=60, deadline=None)
@given(n_items=st.integers(2, 40), negatives=st.integers(1, 20), data=st.data(), seed=st.integers(0, 1 << 60))
def test_compiled_draws_are_no_positives(
    bitmap_bytes: int, n_items: int, negatives: int, data: st.DataObject, seed: int
) -> None:
    rows = data.draw(st.lists(st.sets(st.integers(0, n_items - 1), max_size=n_items - 1), min_size=1, max_size=6))
    known = exclusion(rows)
    users, positives = torch.from_numpy(known.users()), torch.from_numpy(known.items)
    own, items = Draws(known, n_items, 2, bitmap_bytes).draw(users, positives, negatives, seed)
    assert torch.equal(own, users)
    assert torch.equal(items[:, 0], positives)
    for user, drawn in zip(users.tolist(), items[:, 1:].tolist(), strict=True):
        assert not rows[user] & set(drawn)
        assert all(0 <= item < n_items for item in drawn)


@WAYS
@pytest.mark.parametrize("left", [1, 3, 17, 39])
def test_compiled_draws_are_uniform(bitmap_bytes: int, left: int) -> None:
    n_items, rng = 40, np.random.default_rng(left)
    positives = set(rng.permutation(n_items)[left:].tolist())
    draws = Draws(exclusion([set(), positives, {0}]), n_items, 2, bitmap_bytes)
    users = torch.ones(20_000, dtype=torch.int32)
    _, items = draws.draw(users, users, 2, left)
    counts = np.bincount(items[:, 1:].flatten().numpy(), minlength=n_items)
    assert set(np.flatnonzero(counts)) == set(range(n_items)) - positives
    assert left == 1 or chisquare(counts[counts > 0]).pvalue > 1e-4


def test_compiled_draws_depend_on_neither_threads_nor_what_else_is_drawn() -> None:
    known = exclusion([set(range(user % 30)) for user in range(3000)])
    users, positives = torch.from_numpy(known.users()), torch.from_numpy(known.items)
    one, three = (Draws(known, 40, threads) for threads in (1, 3))
    _, items = one.draw(users, positives, 4, 5)
    assert torch.equal(items, three.draw(users, positives, 4, 5)[1])
    chosen = torch.arange(7, len(users), 11, dtype=torch.int32)
    assert torch.equal(items[chosen.long()], three.draw(users, positives, 4, 5, chosen)[1])
    assert torch.equal(one.deal(200_001, 70, 5), three.deal(200_001, 70, 5))


@settings(max_examples=30, deadline=None)
@given(positives=st.integers(0, 3000), steps=st.integers(1, 90), key=st.integers(0, 1 << 60))
def test_each_positive_is_dealt_once(positives: int, steps: int, key: int) -> None:
    dealt = Draws(exclusion([set()]), 2, 2).deal(positives, steps, key)
    assert torch.equal(dealt.sort().values, torch.arange(positives, dtype=torch.int32))
    for step in range(steps):
        own = dealt[step * positives // steps : (step + 1) * positives // steps]
        assert bool((own[1:] > own[:-1]).all())


def test_positives_are_dealt_uniformly() -> None:
    """How often each of some positives, in all parts of the order, comes to each of four steps."""
    draws, n = Draws(exclusion([set()]), 2, 2), 140_000
    watched = np.array([0, 1, 65_535, 65_536, 100_000, n - 1])
    counts = np.zeros((len(watched), 4))
    for key in range(200):
        step_of = np.empty(n, np.int64)
        step_of[draws.deal(n, 4, key * 977).numpy()] = np.arange(n) * 4 // n
        counts[np.arange(len(watched)), step_of[watched]] += 1
    assert chisquare(counts.flatten()).pvalue > 1e-4
