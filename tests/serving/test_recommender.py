from __future__ import annotations

import numpy as np
from random_model import random_model

from ncf.models.scorer import Scorer
from ncf.serving.recommender import Recommender


def test_a_known_user_gets_what_the_model_ranks_highest_among_the_unseen():
    model = random_model()
    (answer,) = Recommender(model).recommend(["u7"], 5)
    items, scores = Scorer(model.config, model.weights).top_k(np.array([7]), 5, model.seen)
    assert answer["user"] == "u7"
    assert answer["source"] == "model"
    assert [item["item"] for item in answer["items"]] == [f"i{item}" for item in items[0]]
    np.testing.assert_allclose([item["score"] for item in answer["items"]], scores[0], atol=1e-6)


def test_test_items_count_as_seen_and_come_back_on_request():
    model = random_model()
    recommender = Recommender(model)
    seen = {f"i{item}" for item in model.seen.of_user(3)}
    assert len(seen) == 5
    (unseen,) = recommender.recommend(["u3"], 40)
    (everything,) = recommender.recommend(["u3"], 40, exclude_seen=False)
    assert len(unseen["items"]) == 35
    assert not seen & {item["item"] for item in unseen["items"]}
    assert seen < {item["item"] for item in everything["items"]}


def test_a_stranger_gets_the_popular_items_in_order():
    model = random_model()
    (answer,) = Recommender(model).recommend(["nobody"], 10)
    counts = model.popularity
    expected = sorted(range(40), key=lambda item: (-counts[item], item))[:10]
    assert answer["source"] == "popular"
    assert [item["item"] for item in answer["items"]] == [f"i{item}" for item in expected]
    assert [item["score"] for item in answer["items"]] == counts[expected].tolist()


def test_a_batch_answers_as_each_user_alone_does_and_in_order():
    recommender = Recommender(random_model())
    users = ["u4", "nobody", "u0", "u4", "", "ü\0"]
    assert recommender.recommend(users, 7) == [recommender.recommend([user], 7)[0] for user in users]


def test_titles_are_given_where_they_are_known():
    (titled,) = Recommender(random_model()).recommend(["nobody"], 40)
    titles = {item["item"]: item.get("title") for item in titled["items"]}
    assert titles["i3"] == "Title 3"
    assert all("title" not in item for item in titled["items"] if item["item"] == "i0")
    (untitled,) = Recommender(random_model(titles=False)).recommend(["u1"], 3)
    assert all(item.keys() == {"item", "score"} for item in untitled["items"])
