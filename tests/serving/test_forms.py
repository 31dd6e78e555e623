"""The forms of request other than that for users, and the fields of each form."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from five_forms import check_forms
from hypothesis import given
from hypothesis import strategies as st
from random_model import random_model
from starlette.testclient import TestClient

from ncf.api.limits import MAX_CANDIDATES, MAX_HISTORY, MAX_K
from ncf.artifacts.model_folder import ModelFolder
from ncf.models.scorer import Scorer
from ncf.serving.app import create_app
from ncf.serving.recommender import Recommender

MODEL = random_model(n_items=60)


def client_of(model: ModelFolder) -> TestClient:
    loading: Future[Recommender] = Future()
    loading.set_result(Recommender(model))
    return TestClient(create_app(loading))


CLIENT = client_of(MODEL)


def invoke(body: object, client: TestClient = CLIENT) -> tuple[int, Any]:
    response = client.post("/invocations", content=json.dumps(body), headers={"content-type": "application/json"})
    return response.status_code, response.json()


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["item"] for item in items]


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf"])
def test_every_form_in_every_media_type(name: Any) -> None:
    model = random_model(name, n_items=60)
    client = client_of(model)

    def ask(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        response = client.post("/invocations", content=body, headers=headers)
        return response.status_code, response.content

    check_forms(ask, model)


@given(
    allow=st.none() | st.lists(st.integers(0, 69), max_size=30),
    deny=st.none() | st.lists(st.integers(0, 69), max_size=30),
    k=st.integers(1, 70),
    exclude_seen=st.booleans(),
    user=st.sampled_from(["u0", "u7", "newcomer"]),
)
def test_allow_and_deny_are_a_filter_of_the_whole_ranking(allow, deny, k, exclude_seen, user) -> None:
    """Items from i60 on are unknown."""

    def names(indices: list[int] | None) -> list[str] | None:
        return None if indices is None else [f"i{index}" for index in indices]

    body = {"users": [user], "k": k, "exclude_seen": exclude_seen, "allow": names(allow), "deny": names(deny)}
    status, answer = invoke(body)
    assert status == 200
    _, whole = invoke({"users": [user], "k": MAX_K, "exclude_seen": exclude_seen})
    ranking = whole["recommendations"][0]["items"]
    wanted = [
        item
        for item in ranking
        if (allow is None or item["item"] in names(allow)) and item["item"] not in (names(deny) or [])
    ]
    found = answer["recommendations"][0]["items"]
    assert ids(found) == ids(wanted)[:k]
    np.testing.assert_allclose([i["score"] for i in found], [i["score"] for i in wanted[:k]], atol=2e-6)
    unknown = list(dict.fromkeys(f"i{index}" for index in allow or [] if index >= 60))
    assert answer.get("unknown", []) == unknown


def test_candidates_of_an_unknown_user_are_ranked_by_popularity() -> None:
    status, answer = invoke({"user": "newcomer", "items": ["i3", "i0", "nothing"]})
    assert status == 200
    assert answer["source"] == "popular"
    assert [item["score"] for item in answer["items"]] == [int(MODEL.popularity[3]), int(MODEL.popularity[0]), None]
    _, pairs = invoke({"user": ["newcomer"] * 2, "item": ["i3", "nothing"]})
    assert (pairs["source"], pairs["unknown"], ids(pairs["items"])) == ("popular", ["nothing"], ["i3"])


def test_integers_are_ids_in_every_form() -> None:
    assert invoke({"user": 7, "items": [1]})[1]["items"] == [{"item": "1", "score": None}]
    assert invoke({"history": [1, "1"]})[1]["unknown"] == ["1"]


def test_a_history_of_unknown_items_gets_popular_items() -> None:
    status, answer = invoke({"history": ["x", "y", "x"], "k": 3})
    assert status == 200
    assert (answer["source"], answer["unknown"]) == ("popular", ["x", "y"])
    assert ids(answer["items"]) == ids(invoke({"users": ["newcomer"], "k": 3})[1]["recommendations"][0]["items"])


def test_repeats_in_a_history_count_once_and_its_items_never_come_back() -> None:
    once, twice = (invoke({"history": history, "k": MAX_K})[1] for history in (["i1", "i2"], ["i1", "i2", "i1"]))
    assert once == twice
    assert len(once["items"]) == 58
    _, filtered = invoke({"history": ["i1", "i2"], "k": 9, "allow": ["i1", "i5", "i6"], "deny": ["i6"]})
    assert ids(filtered["items"]) == ["i5"]


def test_repeats_in_allow_and_deny_count_once() -> None:
    once, twice = (
        invoke({"users": ["u1"], "exclude_seen": False, "allow": ["i1", "i5", "x"] * n, "deny": ["i5"] * n})[1]
        for n in (1, 2)
    )
    assert once == twice
    assert ids(once["recommendations"][0]["items"]) == ["i1"]
    assert once["unknown"] == ["x"]


def test_an_item_is_similar_to_all_others_and_an_unknown_item_is_an_error() -> None:
    _, answer = invoke({"item": "i1", "k": MAX_K})
    assert sorted(ids(answer["similar"])) == sorted(f"i{item}" for item in range(60) if item != 1)
    status, answer = invoke({"item": "nothing"})
    assert status == 422
    assert answer["error"] == "item is 'nothing', which the model does not know; expected one of its items"
    alone = client_of(random_model(n_items=1, positives=1))
    assert invoke({"item": "i0"}, alone)[1]["similar"] == []
    assert invoke({"history": ["i0"]}, alone)[1]["items"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"users": ["u1"], "items": ["i1"]}, ["'users'", "'items'", "one form"]),
        ({"users": ["u1"], "user": "u1"}, ["'user' is not a field beside 'users'", "accepted are users, k"]),
        ({"user": "u1", "items": ["i1"], "item": "i1"}, ["'items'", "'item'", "one form"]),
        (
            {"history": ["i1"], "exclude_seen": True},
            ["'exclude_seen' is not a field beside 'history'", "accepted are history, user, k, allow"],
        ),
        ({"item": "i1", "history": ["i1"]}, ["'item'", "'history'", "one form"]),
        (
            {"user": "u1", "items": ["i1"], "k": 3},
            ["'k' is not a field beside 'user' and 'items'", "accepted are user, items, with_titles"],
        ),
        ({"user": "u1"}, ["items is missing beside 'user'", "a list of 1 to 10000 raw ids", "send 'users' instead"]),
        ({"user": ["u1"]}, ["item is missing beside 'user'", "a list of 1 to 10000 raw ids"]),
        ({"user": ["u1"], "item": ["i1"], "k": 3}, ["'k' is not a field beside 'user' and 'item'", "are user, item"]),
        ({"user": ["u1"], "item": ["i1"], "with_titles": True}, ["'with_titles' is not", "accepted are user, item"]),
        ({"items": ["i1"]}, ["user is missing beside 'items'", "a string of 1 to 512 characters"]),
        ({"user": "u1", "items": ["i1", "i2", "i1"]}, ["items[2] is 'i1' again, as items[0]"]),
        ({"user": "u1", "items": []}, ["items is []", "a list of 1 to"]),
        (
            {"user": "u1", "items": ["i"] * (MAX_CANDIDATES + 1)},
            [f"items has {MAX_CANDIDATES + 1} entries", f"1 to {MAX_CANDIDATES} raw ids"],
        ),
        (
            {"users": ["u1"], "allow": ["i"] * (MAX_CANDIDATES + 1)},
            [f"allow has {MAX_CANDIDATES + 1} entries", f"at most {MAX_CANDIDATES} raw ids or null"],
        ),
        ({"users": ["u1"], "deny": "i1"}, ["deny is 'i1'", "a list of at most 10000 raw ids or null"]),
        ({"users": ["u1"], "with_titles": 1}, ["with_titles is 1", "true or false"]),
        ({"user": ["u1"], "item": ["i1", "i2"]}, ["user has 1 and item 2 entries", "as many of both"]),
        ({"user": ["u1", "u2"], "item": ["i1", "i2"]}, ["user names 'u1' and 'u2'", "expected one throughout"]),
        ({"user": ["u1"] * 2, "item": ["i1"] * 2}, ["item[1] is 'i1' again, as item[0]"]),
        ({"user": "u1", "item": ["i1"]}, ["user is 'u1'", "a list"]),
        ({"item": ["i1"]}, ['item is ["i1"]', "string"]),
        ({"item": "i1", "k": MAX_K + 1}, [f"k is {MAX_K + 1}", f"from 1 to {MAX_K}"]),
        ({"history": []}, ["history is []", "a list of 1 to"]),
        (
            {"history": ["i1"] * (MAX_HISTORY + 1)},
            [f"history has {MAX_HISTORY + 1} entries", f"1 to {MAX_HISTORY} raw ids"],
        ),
        ({"history": ["i1", float("nan")]}, ["history[1] is NaN", "string"]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_an_error_names_the_field_and_what_is_accepted(body: object, words: list[str]) -> None:
    status, answer = invoke(body)
    assert status == 422
    assert all(word in answer["error"] for word in words), answer
    assert len(answer["error"]) < 300


def test_a_model_near_the_largest_that_is_accepted_answers_with_numbers() -> None:
    """Logits near the largest float32: nothing overflows on the way to histories or cosines."""
    large = {name: weight * np.float32(1e12) if "item" in name or "user" in name else weight for name, weight in MODEL.weights.items()}  # fmt: skip
    client = client_of(ModelFolder(**{**MODEL.__dict__, "weights": large}))
    for body in ({"history": ["i1", "i2"]}, {"item": "i1"}):
        status, answer = invoke(body, client)
        assert status == 200
        assert np.isfinite([item["score"] for item in answer.get("items", answer.get("similar"))]).all()


def test_scores_of_candidates_are_the_scorer_s() -> None:
    items = [5, 0, 59]
    _, answer = invoke({"user": "u3", "items": [f"i{item}" for item in items]})
    expected = Scorer(MODEL.config, MODEL.weights).score_pairs(np.array([3]), np.array([items]))[0]
    np.testing.assert_allclose([item["score"] for item in answer["items"]], expected, atol=1e-6)
