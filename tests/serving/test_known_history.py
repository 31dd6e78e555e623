"""A history in a request: of an unknown user, and of a known one since training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_model import random_model

from ncf.api.requests import ForHistory
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder, ModelName
from ncf.artifacts.strings import Strings
from ncf.models.scorer import Scorer
from ncf.serving.recommender import Recommender

MODELS = pytest.mark.parametrize("name", ["gmf", "mlp", "neumf", "history"])


def ask(model: ModelFolder, history: list[int | str], user: str | None = None, **more: Any) -> Any:
    items = [item if isinstance(item, str) else f"i{item}" for item in history]
    return Recommender(model).answer(ForHistory(history=items, user=user, **more))


def items_of(answer: Any) -> list[int]:
    return [int(item["item"][1:]) for item in answer["items"]]


def ranked(model: ModelFolder, history: list[int]) -> tuple[list[int], NDArray[np.float32]]:
    """Items that are not in a history, best first, and the logits of all items, by a ``history`` model."""
    own = ItemsByUser(np.array([0, len(history)]), np.array(history, np.int32))
    scores = Scorer(model.config, model.weights, own).score_all(np.array([0]))[0]
    return [item for item in np.argsort(-scores, kind="stable").tolist() if item not in history], scores


@pytest.mark.parametrize("user", [None, "nobody"])
@pytest.mark.parametrize("latest", [0, 3])
def test_an_unknown_user_is_what_the_history_says(latest: int, user: str | None) -> None:
    model = random_model("history", history=latest)
    answer = ask(model, [4, 31, 9, 17], user, k=40)
    expected, scores = ranked(model, [4, 31, 9, 17])
    assert (answer["source"], answer.get("user")) == ("history", user)
    assert items_of(answer) == expected
    np.testing.assert_allclose([item["score"] for item in answer["items"]], scores[expected], atol=1e-5)


@pytest.mark.parametrize("latest", [0, 3])
def test_a_known_users_items_come_before_the_history(latest: int) -> None:
    model = random_model("history", history=latest)
    before = model.seen.of_user(5).tolist()
    new = [item for item in range(40) if item not in before][:2]
    answer = ask(model, new, "u5", k=40)
    expected, _ = ranked(model, [*before, *new])
    assert (answer["source"], answer["user"]) == ("history", "u5")
    assert items_of(answer) == expected
    (trained,) = Recommender(model).recommend(["u5"], 40)
    assert [item["item"] for item in trained["items"]] != [item["item"] for item in answer["items"]]


@MODELS
def test_neither_what_a_known_user_has_nor_the_history_comes_again(name: ModelName) -> None:
    model = random_model(name)
    before = model.seen.of_user(5).tolist()
    answer = ask(model, [before[1], 7, 8], "u5", k=40)
    assert sorted(items_of(answer)) == sorted(set(range(40)) - {*before, 7, 8})


@pytest.mark.parametrize("latest", [1, 3])
def test_what_the_model_knew_already_changes_nothing(latest: int) -> None:
    model = random_model("history", history=latest)
    answer = ask(model, [int(model.seen.of_user(5)[-1])], "u5", k=40)
    (trained,) = Recommender(model).recommend(["u5"], 40)
    assert answer["items"] == trained["items"]


def test_the_order_of_a_history_counts_with_times_alone() -> None:
    for latest in (0, 3):
        model = random_model("history", history=latest)
        one, other = ask(model, [4, 31, 9], k=40), ask(model, [9, 4, 31], k=40)
        scores = [{item["item"]: item["score"] for item in answer["items"]} for answer in (one, other)]
        assert (scores[0] == pytest.approx(scores[1], abs=2e-6)) == (latest == 0)


def test_of_an_item_that_comes_again_the_latest_counts() -> None:
    model = random_model("history")
    assert ask(model, [4, 31, 4, 9, 4], k=40)["items"] == ask(model, [31, 9, 4], k=40)["items"]
    first, *others = model.seen.of_user(5).tolist()
    assert items_of(ask(model, [first], "u5", k=40)) == ranked(model, [*others, first])[0]


@MODELS
def test_of_unknown_items_alone_the_popular_ones_follow(name: ModelName) -> None:
    model = random_model(name)
    answer = ask(model, ["new", "newer", "new"], k=5)
    (popular,) = Recommender(model).recommend(["nobody"], 5)
    assert (answer["source"], answer["unknown"]) == ("popular", ["new", "newer"])
    assert answer["items"] == popular["items"]
    assert ask(model, ["new"], "nobody", k=5)["items"] == popular["items"]


@MODELS
def test_a_known_user_with_unknown_items_alone_is_still_known(name: ModelName) -> None:
    model = random_model(name)
    answer = ask(model, ["new"], "u5", k=40)
    assert (answer["source"], answer["unknown"]) == ("history", ["new"])
    assert not set(items_of(answer)) & set(model.seen.of_user(5).tolist())
    if name == "history":
        (trained,) = Recommender(model).recommend(["u5"], 40)
        assert answer["items"] == trained["items"]


def test_a_known_user_without_any_item_gets_popular_ones() -> None:
    model = random_model("history")
    model = replace(model, user_ids=Strings.of([*model.user_ids, "empty"]))
    offsets = np.append(model.seen.offsets, len(model.seen.items))
    seen = ItemsByUser(offsets, model.seen.items)
    config = model.config.model_copy(update={"n_users": 13})
    answer = ask(replace(model, config=config, seen=seen), ["new"], "empty", k=3)
    assert answer["source"] == "popular"


def test_allow_and_deny_filter_the_items_of_a_known_user_too() -> None:
    model = random_model("history")
    whole = items_of(ask(model, [1], "u5", k=40))
    assert items_of(ask(model, [1], "u5", k=2, deny=[f"i{whole[0]}"])) == whole[1:3]
    allowed = ask(model, [1], "u5", k=9, allow=[f"i{whole[7]}", f"i{whole[3]}", "i1"])
    assert items_of(allowed) == [whole[3], whole[7]]


@MODELS
def test_what_answers_is_what_is_hosted(name: ModelName) -> None:
    """Weights that were fitted on all positives, and users of all their items."""
    other = random_model(name, seed=1).weights
    model = replace(random_model(name), hosted_weights=other)
    recommender = Recommender(model)
    scores = Scorer(model.config, other, model.seen).score_all(np.array([5]))[0]
    scores[model.seen.of_user(5)] = -np.inf
    (answer,) = recommender.recommend(["u5"], 10)
    assert items_of(answer) == np.argsort(-scores, kind="stable")[:10].tolist()
    (popular,) = recommender.recommend(["nobody"], 1)
    assert popular["items"][0]["score"] == np.bincount(model.seen.items).max()
