"""The baselines against naive forms of themselves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation import baselines, cooccurrence, ease
from ncf.evaluation.cooccurrence import cooccurrences
from ncf.evaluation.item_knn import item_knn
from ncf.evaluation.rankers import ItemToItem, Neighbours
from ncf.evaluation.tuning import Validation


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


@pytest.mark.parametrize("shrinkage", [0, 3])
def test_item_knn_against_a_naive_form(shrinkage: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "_PAIRS_PER_BLOCK", 100)
    dense, train = interactions(15, 12, 0.4, 2)
    _, ranker = item_knn(train, 12, 5, [1, shrinkage])
    scores = ranker.score_all(np.arange(15))
    for item in range(12):
        similar = [
            dense[:, item]
            @ dense[:, other]
            / (math.sqrt(max(dense[:, item].sum(), 1) * max(dense[:, other].sum(), 1)) + shrinkage)
            for other in range(12)
        ]
        # ties are broken by the lower index
        nearest = sorted((other for other in range(12) if other != item), key=lambda o: (-round(similar[o], 6), o))[:5]
        for user in range(15):
            expected = sum(similar[other] for other in nearest if dense[user, other])
            assert scores[user, item] == pytest.approx(expected, abs=1e-5)


def test_fewer_neighbours_are_the_nearest_of_more() -> None:
    _, train = interactions(15, 12, 0.4, 2)
    (all_of_them,), (three,) = item_knn(train, 12, 11), item_knn(train, 12, 3)
    fewer = all_of_them.nearest_only(3)
    assert fewer.nearest.items.tolist() == three.nearest.items.tolist()
    assert fewer.nearest.offsets.tolist() == three.nearest.offsets.tolist()
    assert fewer.weights.tolist() == three.weights.tolist()


def fitted(model: ModelFolder) -> baselines.Baselines:
    return baselines.fit(model.train, model.config.n_items, model.train, np.empty((0, 2), np.int32))


def test_drawn_users_where_there_are_too_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(n_users=40, n_items=30)
    monkeypatch.setattr(baselines, "MAX_PAIRS", 320)  # each user has 4 items, so 16 pairs
    found = fitted(model)
    assert found.remarks == [
        "EASE and item-kNN are fitted on 20 of 40 users, drawn at random: all have too many pairs of items to count "
        "(6e+02)."
    ]
    ranker = found.rankers["item_knn"]
    assert isinstance(ranker, Neighbours)
    assert ranker.train is model.train
    (everybody,) = item_knn(model.train, 30, 100)
    assert 0 < len(ranker.nearest.items) < len(everybody.nearest.items)
    assert found.rankers["ease"].score_all(np.arange(40)).shape == (40, 30)


@pytest.mark.parametrize("users", [40, 8])  # more than items, and fewer
@pytest.mark.parametrize("share", [0.05, 0.4])  # with 0.05 some items have no interactions
def test_ease_solves_its_least_squares_problem(share: float, users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_ITEMS_PER_BLOCK", 4)
    dense, train = interactions(users, 9, share, 3)
    penalty = 2 * max(dense.sum() / 9, 1)
    found = ease.ease_weights(train, 9, penalty)
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
    ranker = ItemToItem(ease.ease_weights(train, 4, 30), train)
    scores = ranker.score_all(np.array([29, 59]))
    assert scores[0].argmax() == 1
    assert scores[1].argmax() == 3


def dense_weights(ranker: Neighbours, n_items: int) -> np.ndarray:
    """From an item of the user (row) to the scored item (column)."""
    weights = np.zeros((n_items, n_items))
    weights[ranker.nearest.items, ranker.nearest.users()] = ranker.weights
    return weights


def test_sparse_ease_is_ease_where_it_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_SYSTEMS_PER_BLOCK", 4)
    dense, train = interactions(60, 14, 0.5, 4)
    assert (dense.T @ dense > 0).all(), "every pair of items occurs together"
    for ranker, regularisation in zip(ease.sparse_ease(train, 14, [5.0, 1.0]), (5.0, 1.0), strict=True):
        expected = ease.ease_weights(train, 14, regularisation)
        assert dense_weights(ranker, 14) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("share", [0.05, 0.4])  # with 0.05 some items have no others, and fewer than the support
def test_sparse_ease_is_the_regression_on_the_nearest_items(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_SUPPORT", 4)
    monkeypatch.setattr(ease, "_KEPT", 11)
    dense, train = interactions(40, 12, share, 5)
    (found,) = ease.sparse_ease(train, 12, [3.0])
    (knn,) = item_knn(train, 12, 4)
    assert found.nearest.items.tolist() == knn.nearest.items.tolist()
    for item in range(12):
        support = knn.nearest.of_user(item)
        gram = dense[:, support].T @ dense[:, support] + 3.0 * np.eye(len(support))
        expected = np.linalg.solve(gram, dense[:, support].T @ dense[:, item])
        assert dense_weights(found, 12)[support, item] == pytest.approx(expected, abs=1e-5)


def test_sparse_ease_ranks_nearly_as_ease(monkeypatch: pytest.MonkeyPatch) -> None:
    """With half of the items as support, and a part of the counts."""
    monkeypatch.setattr(ease, "_SUPPORT", 30)
    monkeypatch.setattr(ease, "_KEPT", 50)
    train, validation = clustered()
    positives = Validation(train, train, 60, validation)
    whole = positives.ndcg(ItemToItem(ease.ease_weights(train, 60, 20.0), train))
    (sparse,) = ease.sparse_ease(train, 60, [20.0])
    assert positives.ndcg(sparse) == pytest.approx(whole, rel=0.1)


def clustered() -> tuple[ItemsByUser, np.ndarray]:
    """300 users of 6 tastes with 10 of 60 items each, and one held-out item of each."""
    rng = np.random.default_rng(0)
    pairs, held_out = [], []
    for user in range(300):
        weights = np.where(np.arange(60) % 6 == user % 6, 8.0, 1.0)
        items = rng.choice(60, 11, replace=False, p=weights / weights.sum())
        pairs += [(user, item) for item in items[1:]]
        held_out.append((user, items[0]))
    users, items = np.array(pairs, np.int32).T
    return ItemsByUser.of(users, items, 300), np.array(held_out, np.int32)


def test_scores_of_pairs_are_those_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(n_users=20, n_items=30)
    rng = np.random.default_rng(0)
    users, items = np.arange(20), rng.integers(0, 30, (20, 8))
    found = fitted(model)
    assert list(found.rankers) == ["ease", "item_knn", "popularity"]
    assert (found.remarks, found.chosen_on) == ([], 0)
    assert found.settings == {
        "ease": {"regularisation": 2 * 80 / 30},
        "item_knn": {"neighbours": 100, "shrinkage": 0},
    }
    monkeypatch.setattr(baselines, "EASE_MAX_ITEMS", 29)
    for ranker in {**found.rankers, **fitted(model).rankers}.values():
        expected = np.take_along_axis(ranker.score_all(users), items, 1)
        assert ranker.score_pairs(users, items) == pytest.approx(expected, abs=1e-6)


def test_a_user_without_interactions_is_ranked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(n_users=5, n_items=30)
    nobody = ItemsByUser.of_sorted(np.zeros(0, np.int32), np.zeros(0, np.int32), 5)
    model = replace(model, train=nobody)
    dense = fitted(model).rankers
    monkeypatch.setattr(baselines, "EASE_MAX_ITEMS", 29)
    for ranker in (dense["ease"], dense["item_knn"], fitted(model).rankers["sparse_ease"]):
        assert (ranker.score_all(np.arange(5)) == 0).all()


def test_a_large_catalogue_has_a_sparse_form_and_the_largest_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "EASE_MAX_ITEMS", 29)
    model = random_model(n_users=20, n_items=30)
    found = fitted(model)
    assert list(found.rankers) == ["sparse_ease", "item_knn", "popularity"]
    assert found.settings["sparse_ease"] == {"regularisation": 2 * 80 / 30}
    (remark,) = found.remarks
    assert remark.startswith("sparse EASE stands for EASE, whose dense matrix would be too large for 30 items")
    monkeypatch.setattr(baselines, "SPARSE_EASE_MAX_ITEMS", 29)
    found = fitted(model)
    assert list(found.rankers) == ["item_knn", "popularity"]
    assert "30 items" in found.remarks[0]
