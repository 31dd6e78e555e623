from __future__ import annotations

import numpy as np
import pytest
from random_model import random_model

from ncf.api.requests import ForHistory
from ncf.artifacts.model_folder import ModelName
from ncf.models import ranker as ranker_module
from ncf.models.cold_start import ColdStart
from ncf.models.ranker import Ranker
from ncf.models.scorer import Scorer
from ncf.serving.recommender import Recommender


def test_a_known_user_gets_what_the_model_ranks_highest_among_the_unseen():
    model = random_model()
    (answer,) = Recommender(model).recommend(["u7"], 5)
    items, scores = Ranker(model.config, model.weights).top_k(np.array([7]), 5, model.seen)
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


def test_an_unknown_user_gets_the_popular_items_in_order():
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


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf"])
def test_of_a_large_catalogue_the_best_of_a_history_are_retrieved_and_hardly_any_is_missed(
    name: ModelName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranker_module, "EXACT_UP_TO", 10_000)
    model = random_model(name, n_users=300, n_items=20_000, positives=30)
    recommender, ranker = Recommender(model), Ranker(model.config, model.weights)
    recommender.prepare()
    recommender.recommend(["u0"], 1)  # prepares what retrieves, for which some users are scored exactly
    cold_start = ColdStart(ranker, model.weights, model.train)
    scored: list[int] = []
    rescore = Scorer.rescore

    def counting(self, users, candidates):
        scores = rescore(self, users, candidates)
        scored.append(scores.size)
        return scores

    hits = 0
    for user in range(20):
        history = model.train.of_user(user)
        exact = cold_start.with_history(history).scorer.score_all(np.array([0]))[0]
        exact[history] = -np.inf
        best = {f"i{item}" for item in np.argsort(-exact, kind="stable")[:13].tolist()}
        denied = sorted(best)[:3]
        with monkeypatch.context() as patch:
            patch.setattr(Scorer, "rescore", counting)
            answer = recommender.answer(
                ForHistory(history=[f"i{item}" for item in history.tolist()], k=10, deny=denied)
            )
        found = {item["item"] for item in answer["items"]}
        assert len(found) == 10
        assert not found & set(denied)
        hits += len(found & best)
        for item in answer["items"]:
            assert item["score"] == pytest.approx(exact[int(item["item"][1:])], abs=1e-5)
    assert max(scored) < 20_000, "few are scored exactly"
    assert hits / 200 >= 0.99
