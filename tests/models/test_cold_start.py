from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.models import cold_start
from ncf.models.cold_start import ColdStart
from ncf.models.ranker import Ranker

MODELS = ("gmf", "mlp", "neumf")


def scores(unknown: ColdStart, history: NDArray) -> NDArray:
    return unknown.with_history(history).scorer.score_all(np.array([0]))[0]


@pytest.mark.parametrize("name", MODELS)
def test_users_whose_embeddings_follow_from_their_items_are_found_again(name, monkeypatch):
    """From whole histories, which are not shrunk: parts of them only resemble a user."""
    monkeypatch.setattr(cold_start, "_PARTIAL_HISTORIES", ())
    monkeypatch.setattr(cold_start, "_SHRINKAGE", 0)
    monkeypatch.setattr(cold_start, "_RIDGE", 1e-6)
    model = random_model(name, n_users=400, n_items=60, positives=12)
    weights = dict(model.weights)
    for side in ("gmf", "mlp"):
        if f"user_{side}.weight" in weights:
            items = weights[f"item_{side}.weight"]
            weights[f"user_{side}.weight"] = np.stack(
                [items[model.train.of_user(user)].mean(axis=0) * 3 for user in range(400)]
            )
    ranker = Ranker(model.config, weights)
    unknown = ColdStart(ranker, weights, model.train)
    users = np.arange(20)
    found = np.stack([scores(unknown, model.train.of_user(user)) for user in users.tolist()])
    np.testing.assert_allclose(found, ranker.scorer.score_all(users), atol=0.1)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_repeatable_independent_of_order_and_leaves_the_scorer_alone(name):
    model = random_model(name)
    ranker = Ranker(model.config, model.weights)
    before = ranker.scorer.score_all(np.arange(12))
    first, second = (ColdStart(ranker, model.weights, model.train) for _ in range(2))
    np.testing.assert_array_equal(scores(first, np.array([1, 2])), scores(second, np.array([1, 2])))
    np.testing.assert_allclose(scores(first, np.array([2, 1])), scores(first, np.array([1, 2])), atol=1e-6)
    np.testing.assert_array_equal(ranker.scorer.score_all(np.arange(12)), before)


def test_without_anybody_to_learn_from_every_unknown_user_is_the_same():
    model = random_model()
    nobody = ItemsByUser(np.zeros(13, np.int64), np.empty(0, np.int32))
    unknown = ColdStart(Ranker(model.config, model.weights), model.weights, nobody)
    np.testing.assert_array_equal(scores(unknown, np.array([1])), scores(unknown, np.array([2])))
