from __future__ import annotations

import numpy as np
import pytest
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.models import similarity
from ncf.models.scorer import Scorer
from ncf.models.similarity import Similarity, Strangers

MODELS = ("gmf", "mlp", "neumf")


@pytest.mark.parametrize("name", MODELS)
def test_an_item_that_the_network_takes_as_another_has_cosine_1(name):
    model = random_model(name)
    weights = dict(model.weights)
    for table in weights.keys() & {"item_gmf.weight", "item_mlp.weight"}:
        weights[table] = weights[table].copy()
        weights[table][7] = weights[table][3]
    cosines = Similarity(model.config, weights).cosines(3)
    assert cosines[[3, 7]] == pytest.approx([1, 1], abs=1e-5)
    assert np.delete(cosines, [3, 7]).max() < 0.999
    assert cosines.min() >= -1 - 1e-5


def test_dimensions_that_the_network_does_not_use_do_not_count():
    model = random_model("gmf")
    weights = dict(model.weights)
    weights["output.weight"] = weights["output.weight"].copy()
    weights["output.weight"][0, 0] = 0
    before = Similarity(model.config, weights).cosines(3)
    weights["item_gmf.weight"] = weights["item_gmf.weight"].copy()
    weights["item_gmf.weight"][:, 0] = np.arange(40)
    np.testing.assert_allclose(Similarity(model.config, weights).cosines(3), before, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_users_whose_embeddings_follow_from_their_items_are_found_again(name, monkeypatch):
    """From whole histories, which are not shrunk: parts of them only resemble a user."""
    monkeypatch.setattr(similarity, "_PARTS", ())
    monkeypatch.setattr(similarity, "_SHRINKAGE", 0)
    monkeypatch.setattr(similarity, "_RIDGE", 1e-6)
    model = random_model(name, n_users=400, n_items=60, positives=12)
    weights = dict(model.weights)
    for side in ("gmf", "mlp"):
        if f"user_{side}.weight" in weights:
            items = weights[f"item_{side}.weight"]
            weights[f"user_{side}.weight"] = np.stack(
                [items[model.train.of_user(user)].mean(axis=0) * 3 for user in range(400)]
            )
    scorer = Scorer(model.config, weights)
    strangers = Strangers(scorer, weights, model.train)
    users = np.arange(20)
    found = np.stack([strangers.score_all(model.train.of_user(user)) for user in users.tolist()])
    np.testing.assert_allclose(found, scorer.score_all(users), atol=0.1)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_repeatable_independent_of_order_and_leaves_the_scorer_alone(name):
    model = random_model(name)
    scorer = Scorer(model.config, model.weights)
    before = scorer.score_all(np.arange(12))
    first, second = (Strangers(scorer, model.weights, model.train) for _ in range(2))
    np.testing.assert_array_equal(first.score_all(np.array([1, 2])), second.score_all(np.array([1, 2])))
    np.testing.assert_allclose(first.score_all(np.array([2, 1])), first.score_all(np.array([1, 2])), atol=1e-6)
    np.testing.assert_array_equal(scorer.score_all(np.arange(12)), before)


def test_without_anybody_to_learn_from_every_stranger_is_the_same():
    model = random_model()
    nobody = ItemsByUser(np.zeros(13, np.int64), np.empty(0, np.int32))
    strangers = Strangers(Scorer(model.config, model.weights), model.weights, nobody)
    np.testing.assert_array_equal(strangers.score_all(np.array([1])), strangers.score_all(np.array([2])))
