from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.models.ranker import NO_ITEM, Ranker, top_k_indices

MODELS = ("gmf", "mlp", "neumf", "history")
WIDE = {"n_users": 9, "n_items": 2500, "factors": 8, "tower": (32, 16, 8)}  # several blocks for each user


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("k", [1, 10, 2499, 2500, 10**9])
def test_top_k_is_the_head_of_a_full_sort_without_what_is_excluded(name, k):
    model = random_model(name, **WIDE)
    ranker = Ranker(model.config, model.weights, histories=model.train)
    users = np.array([3, 0, 3])
    items, scores = ranker.top_k(users, k, model.seen)
    assert items.shape == scores.shape == (3, min(k, 2500))
    assert items.dtype == np.int32
    assert scores.dtype == np.float32
    for row, user in enumerate(users):
        every = ranker.scorer.score_all(np.array([user]))[0]
        seen = set(model.seen.of_user(user).tolist())
        ranked = [item for item in sorted(range(2500), key=lambda i: (-every[i], i)) if item not in seen]
        expected = ranked[:k]
        assert items[row, : len(expected)].tolist() == expected
        assert scores[row, : len(expected)].tolist() == every[expected].tolist()
        assert (items[row, len(expected) :] == NO_ITEM).all()
        assert np.isneginf(scores[row, len(expected) :]).all()


def test_seen_items_come_back_where_nothing_is_excluded():
    model = random_model("neumf", n_items=6, positives=6)
    ranker = Ranker(model.config, model.weights, histories=model.train)
    assert sorted(ranker.top_k(np.array([0]), 6)[0][0].tolist()) == list(range(6))
    assert ranker.top_k(np.array([0]), 6, model.seen)[0].tolist() == [[NO_ITEM] * 6]


def test_equal_scores_come_in_the_order_of_the_items():
    model = random_model("gmf", n_users=1, n_items=500)
    weights = dict(model.weights) | {"item_gmf.weight": np.zeros((500, 4), np.float32)}
    nothing = ItemsByUser.of(np.array([0], np.int32), np.array([1], np.int32), 1)
    items, _ = Ranker(model.config, weights).top_k(np.array([0]), 5, nothing)
    assert items.tolist() == [[0, 2, 3, 4, 5]]


@given(scores=st.lists(st.integers(0, 4), max_size=30), k=st.integers(1, 40))
def test_top_k_indices_is_a_stable_sort(scores, k):
    expected = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:k]
    assert top_k_indices(np.array(scores, np.float32), k).tolist() == expected
