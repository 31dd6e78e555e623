"""Epochs of the history network: every positive once, with what its user had before it, or with all others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig
from ncf.models.history_network import HistoryNetwork, initialise_history
from ncf.training import history_batches
from ncf.training.backends import make_source
from ncf.training.history_batches import HistoryBatch, HistoryEpoch, HistorySource, positives_in_epoch

CPU = torch.device("cpu")
SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=8)
Samples = list[tuple[int, list[int]]]
"""Positives, and the history of each."""


def positives_of(sizes: list[int]) -> ItemsByUser:
    """Item ``100 * u + n`` is the ``n``-th of user ``u``."""
    items = [100 * user + number for user, size in enumerate(sizes) for number in range(size)]
    return ItemsByUser(np.concatenate([[0], np.cumsum(sizes)]), np.array(items, np.int32))


def epoch_of(sizes: list[int], steps: int, history: int, number: int = 1) -> HistoryEpoch:
    return HistorySource(positives_of(sizes), None, history, [1, 2, 3], CPU).epoch(number, steps)


def samples_of(batch: HistoryBatch, is_sequential: bool) -> Samples:
    """What a step learns, from its fields alone."""
    found, items, offsets = [], batch.items.tolist(), batch.offsets.tolist()
    for row, owner in zip(batch.rows.tolist(), batch.owners.tolist(), strict=True):
        first, last = offsets[owner], offsets[owner + 1]
        assert first <= row < last, "a positive is among the items of its user"
        found.append((items[row], items[first:row] if is_sequential else items[first:row] + items[row + 1 : last]))
    return found


@given(sizes=SIZES, steps=st.integers(1, 12), history=st.integers(0, 5))
def test_each_positive_comes_once_with_those_before_it_or_with_all_others(
    sizes: list[int], steps: int, history: int
) -> None:
    found = []
    batches = list(epoch_of(sizes, steps, history).batches(0))
    assert len(batches) == steps
    lengths = [len(batch.rows) for batch in batches]
    assert max(lengths) - min(lengths) <= 1
    for batch in batches:
        found += samples_of(batch, history > 0)
    assert sorted(item for item, _ in found) == positives_of(sizes).items.tolist()
    for item, before in found:
        user, number = divmod(item, 100)
        if history:
            # the window may hold more than the network weighs, but the latest are there, in order
            latest = [100 * user + earlier for earlier in range(max(0, number - history), number)]
            assert before[-history:] == latest
            assert all(other < item for other in before)
        else:
            assert sorted([item, *before]) == [100 * user + other for other in range(sizes[user])]


@pytest.mark.parametrize("history", [0, 5])
def test_of_a_user_with_many_positives_an_epoch_has_some_drawn_anew(
    history: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_batches, "MOST_POSITIVES", 10)
    sizes, seen, per_epoch = [4, 30, 0, 10, 11], set[int](), [4, 10, 0, 10, 10]
    assert positives_in_epoch(positives_of(sizes)).tolist() == per_epoch
    for number in range(1, 60):
        batches = list(epoch_of(sizes, 7, history, number).batches(0))
        found = [sample for batch in batches for sample in samples_of(batch, history > 0)]
        items = [item for item, _ in found]
        assert len(set(items)) == len(items)
        assert np.bincount(np.array(items) // 100, minlength=5).tolist() == per_epoch
        own = sorted(item % 100 for item in items if item // 100 == 1)
        if history:
            assert own == list(range(own[0], own[0] + 10)), "some in a row"
        for item, before in found:
            user, position = divmod(item, 100)
            if history:
                assert before[-history:] == [100 * user + n for n in range(max(0, position - history), position)]
            else:
                assert len(before) == sizes[user] - 1
        seen.update(items)
    assert sorted(seen) == positives_of(sizes).items.tolist(), "each has its turn"


@pytest.mark.parametrize("history", [0, 3])
def test_the_weight_of_a_positive_goes_with_it(history: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_batches, "MOST_POSITIVES", 6)
    positives = positives_of([3, 9, 0, 5])
    weights = (positives.items + 1).astype(np.float32)
    for batch in HistorySource(positives, weights, history, [1], CPU).epoch(1, 4).batches(0):
        assert batch.weights is not None
        assert batch.weights.tolist() == (batch.items[batch.rows] + 1).tolist()
    assert all(batch.weights is None for batch in epoch_of([3, 4], 2, history).batches(0))


def test_weights_of_a_fit_have_mean_1_over_all_processes() -> None:
    config = ModelConfig(model="history", factors=3, tower=[], n_users=4, n_items=400, history=2)
    positives = positives_of([2, 3, 4, 1])
    weights = np.arange(1, 11, dtype=np.float32)
    found = {}
    for users in (range(2), range(2, 4)):
        for batch in make_source(positives, weights, positives, users, config, 4, [1], CPU).epoch(1, 2).batches(0):
            found |= dict(zip(batch.items[batch.rows].tolist(), batch.weights.tolist(), strict=True))
    assert [found[item] for item in positives.items.tolist()] == pytest.approx(weights / weights.mean())


def test_users_without_positives_and_fewer_positives_than_steps() -> None:
    batches = list(epoch_of([0, 1, 0, 1, 0], 5, 3).batches(0))
    assert sorted(len(batch.rows) for batch in batches) == [0, 0, 0, 1, 1]
    assert sorted(int(batch.items[batch.rows]) for batch in batches if len(batch.rows)) == [100, 300]
    nobody = list(epoch_of([0, 0], 2, 3).batches(0))
    assert [len(batch.items) for batch in nobody] == [0, 0]


@pytest.mark.parametrize("history", [0, 4])
@pytest.mark.parametrize("first_step", [0, 1, 6, 10])
def test_an_epoch_goes_on_as_it_would_have(history: int, first_step: int) -> None:
    sizes = np.random.default_rng(1).integers(0, 30, 25).tolist()
    whole, rest = (list(epoch_of(sizes, 11, history).batches(first)) for first in (0, first_step))
    assert len(rest) == 11 - first_step
    for one, other in zip(whole[first_step:], rest, strict=True):
        for name in ("items", "offsets", "rows", "owners"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_users_come_in_another_order_in_each_epoch() -> None:
    orders = []
    for number in (1, 1, 2):
        batches = epoch_of([3] * 20, 6, 2, number).batches(0)
        orders.append([item for batch in batches for item, _ in samples_of(batch, True)])
    assert orders[0] == orders[1] != orders[2]
    assert [item // 100 for item in orders[0]][::3] != list(range(20))


@given(sizes=SIZES, steps=st.integers(1, 6), history=st.integers(0, 5), seed=st.integers(0, 99))
def test_the_vectors_of_a_step_are_the_networks_of_these_histories(
    sizes: list[int], steps: int, history: int, seed: int
) -> None:
    config = ModelConfig(model="history", factors=3, tower=[], n_users=8, n_items=800, history=history)
    network = HistoryNetwork(config)
    initialise_history(network, seed, 0.5, np.ones(800, np.int64))
    table = network.item_gmf.weight
    for batch in epoch_of(sizes, steps, history).batches(0):
        users, own = batch.vectors(network, table, batch.items)
        samples = samples_of(batch, history > 0)
        assert users.shape == own.shape == (len(samples), 3)
        if samples:
            before = [torch.tensor(items, dtype=torch.int64) for _, items in samples]
            offsets = torch.tensor([0, *(len(items) for items in before)]).cumsum(0)
            torch.testing.assert_close(users, network.of_users(torch.cat(before), offsets))
            torch.testing.assert_close(own, table[[item for item, _ in samples]])


def test_a_process_has_the_positives_of_its_own_users() -> None:
    config = ModelConfig(model="history", factors=3, tower=[], n_users=4, n_items=400, history=2)
    positives = positives_of([2, 3, 4, 1])
    source = make_source(positives, None, positives, range(1, 3), config, 4, [1], CPU)
    found = [item for batch in source.epoch(1, 2).batches(0) for item in batch.items[batch.rows].tolist()]
    assert sorted(found) == [100, 101, 102, 200, 201, 202, 203]
