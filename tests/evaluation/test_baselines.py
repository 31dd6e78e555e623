"""The baselines against naive forms of themselves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation import baselines, cooccurrence
from ncf.evaluation.cooccurrence import cooccurrences
from ncf.evaluation.rankers import ItemToItem, Neighbours


def interactions(users: int, items: int, share: float, seed: int) -> tuple[np.ndarray, ItemsByUser]:
    matrix = np.random.default_rng(seed).random((users, items)) < share
    rows, columns = (column.astype(np.int32) for column in np.nonzero(matrix))
    return matrix.astype(float), ItemsByUser.of(rows, columns, users)


def dense_counts(train: ItemsByUser, n_items: int) -> np.ndarray:
    blocks = list(cooccurrences(train, n_items))
    assert [item for block in blocks for item in block.items] == list(range(n_items))
    assert all(block.counts.has_sorted_indices for block in blocks)
    return np.concatenate([block.counts.toarray() for block in blocks])


@pytest.mark.parametrize("pairs_per_block", [1, 20, 1 << 20])
def test_cooccurrence_counts(pairs_per_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "_PAIRS_PER_BLOCK", pairs_per_block)
    dense, train = interactions(30, 12, 0.3, 0)
    dense[:, 3] = 0  # an item without users
    train = ItemsByUser.of(*(column.astype(np.int32) for column in np.nonzero(dense)), 30)
    assert (dense_counts(train, 12) == dense.T @ dense).all()


def test_cooccurrence_counts_of_many_users() -> None:
    """More users than an int16 holds have both items."""
    users = np.repeat(np.arange(70_000, dtype=np.int32), 2)
    train = ItemsByUser.of(users, np.tile(np.array([0, 2], np.int32), 70_000), 70_000)
    assert dense_counts(train, 3).tolist() == [[70_000, 0, 70_000], [0, 0, 0], [70_000, 0, 70_000]]


def test_item_knn_against_a_naive_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "NEIGHBOURS", 5)
    monkeypatch.setattr(cooccurrence, "_PAIRS_PER_BLOCK", 100)
    dense, train = interactions(15, 12, 0.4, 2)
    ranker = baselines.knn(train, 12)
    scores = ranker.score_all(np.arange(15))
    for item in range(12):
        similar = [
            dense[:, item] @ dense[:, other] / math.sqrt(max(dense[:, item].sum(), 1) * max(dense[:, other].sum(), 1))
            for other in range(12)
        ]
        # ties are broken by the lower index
        nearest = sorted((other for other in range(12) if other != item), key=lambda o: (-round(similar[o], 6), o))[:5]
        for user in range(15):
            expected = sum(similar[other] for other in nearest if dense[user, other])
            assert scores[user, item] == pytest.approx(expected, abs=1e-5)


def test_item_knn_on_drawn_users_where_there_are_too_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(n_users=40, n_items=30)
    monkeypatch.setattr(baselines, "_KNN_MAX_PAIRS", 320)  # each user has 4 items, so 16 pairs
    found, remarks = baselines.rankers(model)
    assert remarks == [
        "Item-kNN finds the neighbours of items on 20 of 40 users, drawn at random: all have too many pairs of items "
        "to count (6e+02)."
    ]
    ranker = found["item_knn"]
    assert isinstance(ranker, Neighbours)
    assert ranker.train is model.train
    everybody = baselines.knn(model.train, 30)
    assert 0 < len(ranker.nearest.items) < len(everybody.nearest.items)


@pytest.mark.parametrize("users", [40, 8])  # more than items, and fewer
@pytest.mark.parametrize("share", [0.05, 0.4])  # with 0.05 some items have no interactions
def test_ease_solves_its_least_squares_problem(share: float, users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_ITEMS_PER_BLOCK", 4)
    dense, train = interactions(users, 9, share, 3)
    found = baselines.ease_weights(train, 9)
    penalty = baselines.EASE_REGULARISATION * max(dense.sum() / 9, 1)
    for item in range(9):  # each column for itself: ridge regression on all the other items
        others = [other for other in range(9) if other != item]
        rows = np.vstack([dense[:, others], math.sqrt(penalty) * np.eye(8)])
        target = np.concatenate([dense[:, item], np.zeros(8)])
        expected, *_ = np.linalg.lstsq(rows, target)
        assert found[others, item] == pytest.approx(expected, abs=1e-5)
        assert found[item, item] == 0


def test_ease_finds_items_that_occur_together() -> None:
    users = np.arange(60, dtype=np.int32)
    pair = np.where(users < 30, 0, 2).astype(np.int32)  # items 0 and 1, or 2 and 3; the last user of each has one
    rows = np.concatenate([users, np.delete(users, [29, 59])])
    items = np.concatenate([pair, np.delete(pair + 1, [29, 59])]).astype(np.int32)
    train = ItemsByUser.of(rows, items, 60)
    ranker = ItemToItem(baselines.ease_weights(train, 4), train)
    scores = ranker.score_all(np.array([29, 59]))
    assert scores[0].argmax() == 1
    assert scores[1].argmax() == 3


def test_scores_of_pairs_are_those_of_the_catalogue() -> None:
    model = random_model(n_users=20, n_items=30)
    rng = np.random.default_rng(0)
    users, items = np.arange(20), rng.integers(0, 30, (20, 8))
    rankers, left_out = baselines.rankers(model)
    assert list(rankers) == ["ease", "item_knn", "popularity"]
    assert left_out == []
    for ranker in rankers.values():
        expected = np.take_along_axis(ranker.score_all(users), items, 1)
        assert ranker.score_pairs(users, items) == pytest.approx(expected, abs=1e-6)


def test_a_user_without_interactions_is_ranked_too() -> None:
    model = random_model(n_users=5, n_items=30)
    nobody = ItemsByUser.of_sorted(np.zeros(0, np.int32), np.zeros(0, np.int32), 5)
    rankers, _ = baselines.rankers(replace(model, train=nobody))
    for name in ("ease", "item_knn"):
        assert (rankers[name].score_all(np.arange(5)) == 0).all()


@pytest.mark.parametrize(
    ("limit", "reason"), [("_EASE_MAX_ITEMS", "with 30 items"), ("_EASE_MAX_PAIRS", "too many pairs")]
)
def test_what_is_too_large_is_left_out_with_a_reason(limit: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, limit, 29)
    rankers, remarks = baselines.rankers(random_model(n_users=20, n_items=30))
    assert set(rankers) == {"item_knn", "popularity"}
    assert len(remarks) == 1
    assert reason in remarks[0]
