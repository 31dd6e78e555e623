"""The baselines against naive forms of themselves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from random_model import random_model

from ncf.data.items_by_user import ItemsByUser
from ncf.evaluation import baselines
from ncf.evaluation.rankers import ItemToItem


def interactions(users: int, items: int, share: float, seed: int) -> tuple[np.ndarray, ItemsByUser]:
    matrix = np.random.default_rng(seed).random((users, items)) < share
    rows, columns = (column.astype(np.int32) for column in np.nonzero(matrix))
    return matrix.astype(float), ItemsByUser.of(rows, columns, users)


def test_items_taken_together() -> None:
    dense, train = interactions(30, 12, 0.3, 0)
    assert (baselines.count_together(train, 12) == dense.T @ dense).all()


def test_item_knn_against_a_naive_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "NEIGHBOURS", 5)
    dense, train = interactions(15, 12, 0.4, 2)
    ranker = ItemToItem(baselines.knn_weights(baselines.count_together(train, 12)), train)
    scores = ranker.score_all(np.arange(15))
    for user in range(15):
        for item in range(12):
            similar = [
                0.0
                if other == item
                else dense[:, item]
                @ dense[:, other]
                / math.sqrt(max(dense[:, item].sum(), 1) * max(dense[:, other].sum(), 1))
                for other in range(12)
            ]
            least = sorted(similar)[-5]
            expected = sum(
                value for value, has in zip(similar, dense[user], strict=True) if has and value >= least - 1e-9
            )
            assert scores[user, item] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("share", [0.05, 0.4])  # with 0.05 some items have no interactions
def test_ease_solves_its_least_squares_problem(share: float) -> None:
    dense, train = interactions(40, 9, share, 3)
    found = baselines.ease_weights(baselines.count_together(train, 9))
    penalty = baselines.EASE_REGULARISATION * max(dense.sum() / 9, 1)
    for item in range(9):  # each column for itself: ridge regression on all the other items
        others = [other for other in range(9) if other != item]
        rows = np.vstack([dense[:, others], math.sqrt(penalty) * np.eye(8)])
        target = np.concatenate([dense[:, item], np.zeros(8)])
        expected, *_ = np.linalg.lstsq(rows, target)
        assert found[others, item] == pytest.approx(expected, abs=1e-5)
        assert found[item, item] == 0


def test_ease_finds_items_that_go_together() -> None:
    users = np.arange(60, dtype=np.int32)
    pair = np.where(users < 30, 0, 2).astype(np.int32)  # items 0 and 1, or 2 and 3; the last user of each has one
    rows = np.concatenate([users, np.delete(users, [29, 59])])
    items = np.concatenate([pair, np.delete(pair + 1, [29, 59])]).astype(np.int32)
    train = ItemsByUser.of(rows, items, 60)
    ranker = ItemToItem(baselines.ease_weights(baselines.count_together(train, 4)), train)
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
    ("limit", "value", "missing", "reason"),
    [
        ("_EASE_MOST_ITEMS", 29, {"ease"}, "with 30 items"),
        ("_KNN_MOST_ITEMS", 29, {"item_knn"}, "with 30 items"),
        ("_MOST_PAIRS", 100, {"ease", "item_knn"}, "too many pairs"),
    ],
)
def test_what_is_too_large_is_left_out_with_a_reason(
    limit: str, value: int, missing: set[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "ITEMS" in limit:
        limits = {
            name: (label, value if name in missing else most, weigh)
            for name, (label, most, weigh) in baselines._LINEAR.items()
        }
        monkeypatch.setattr(baselines, "_LINEAR", limits)
    else:
        monkeypatch.setattr(baselines, limit, value)
    rankers, left_out = baselines.rankers(random_model(n_users=20, n_items=30))
    assert set(rankers) == {"ease", "item_knn", "popularity"} - missing
    assert len(left_out) == len(missing)
    assert all(reason in text for text in left_out)
