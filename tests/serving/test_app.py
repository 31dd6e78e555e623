from __future__ import annotations

import json
import logging
import re
from concurrent.futures import Future
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from random_model import random_model
from starlette.testclient import TestClient

from ncf.api.limits import MAX_BODY_BYTES, MAX_K, MAX_USERS
from ncf.artifacts.ids import MAX_ID_LENGTH, canonical_id
from ncf.errors import InputError
from ncf.serving.app import VERSION_HEADER, create_app
from ncf.serving.recommender import Recommender

VERSION = "0123456789ab"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client() -> TestClient:
    loading: Future[Recommender] = Future()
    loading.set_result(Recommender(replace(random_model(), version=VERSION)))
    return TestClient(create_app(loading))


def invoke(client: TestClient, body: object, **headers: str):
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post("/invocations", content=content, headers=JSON | headers)


def test_ping_and_invocations_answer_503_until_the_model_is_loaded():
    loading: Future[Recommender] = Future()
    client = TestClient(create_app(loading))
    assert client.get("/ping").status_code == 503
    assert invoke(client, {"users": ["u1"]}).status_code == 503
    loading.set_result(Recommender(random_model()))
    assert client.get("/ping").status_code == 200
    assert invoke(client, {"users": ["u1"]}).status_code == 200


def test_a_model_that_cannot_be_loaded_never_pings():
    loading: Future[Recommender] = Future()
    loading.set_exception(InputError("broken"))
    client = TestClient(create_app(loading))
    assert client.get("/ping").status_code == 503
    assert "not loaded" in invoke(client, {"users": ["u1"]}).json()["error"]


def test_an_answer_names_the_models_version_and_each_users_items(client):
    response = invoke(client, {"users": ["u1", "nobody"], "k": 3})
    assert response.status_code == 200
    assert response.headers[VERSION_HEADER] == VERSION
    content = response.json()
    assert content["model_version"] == VERSION
    first, second = content["recommendations"]
    assert (first["user"], first["source"], len(first["items"])) == ("u1", "model", 3)
    assert (second["user"], second["source"], len(second["items"])) == ("nobody", "popular", 3)
    assert isinstance(first["items"][0]["score"], float)
    assert client.get("/ping").json() == {"model_version": VERSION}


def test_defaults_are_ten_unseen_items(client):
    default = invoke(client, {"users": ["u1"]}).json()
    assert len(default["recommendations"][0]["items"]) == 10
    assert default == invoke(client, {"users": ["u1"], "k": 10, "exclude_seen": True}).json()


def test_more_items_than_there_are_give_those_that_there_are(client):
    recommendations = invoke(client, {"users": ["u1", "nobody"], "k": MAX_K}).json()["recommendations"]
    assert [len(answer["items"]) for answer in recommendations] == [35, 40]
    every = invoke(client, {"users": ["u1"], "k": MAX_K, "exclude_seen": False}).json()["recommendations"]
    assert len(every[0]["items"]) == 40


def test_integers_count_as_ids(client):
    answers = invoke(client, {"users": [42, -1]}).json()["recommendations"]
    assert [answer["user"] for answer in answers] == ["42", "-1"]


def test_as_many_users_as_are_allowed(client):
    assert len(invoke(client, {"users": ["u2"] * MAX_USERS}).json()["recommendations"]) == MAX_USERS


def test_a_charset_and_capitals_in_the_content_type_are_accepted(client):
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert invoke(client, {"users": ["u1"]}, **headers).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"users": ["u1"], "k": 0}, 422, ["k is 0", f"an integer from 1 to {MAX_K}"]),
        ({"users": ["u1"], "k": 10**9}, 422, ["k is 1000000000", f"an integer from 1 to {MAX_K}"]),
        ({"users": ["u1"], "k": "ten"}, 422, ["k is 'ten'", "integer"]),
        ({"users": ["u1"], "k": 1.5}, 422, ["k is 1.5", "integer"]),
        ({"users": ["u1"], "k": True}, 422, ["k is true", "integer"]),
        ({"users": ["u1"], "k": None}, 422, ["k is null", "integer"]),
        ('{"users": ["u1"], "k": NaN}', 422, ["k is NaN"]),
        ('{"users": ["u1"], "k": -Infinity}', 422, ["k is -Infinity"]),
        ('{"users": ["u1"], "k": 1e400}', 422, ["k is Infinity"]),
        ('{"users": ["u1"], "k": 1' + "0" * 5000 + "}", 400, ["number out of range"]),
        ('{"users": [1' + "0" * 5000 + "]}", 400, ["number out of range"]),
        ({"users": [2**63]}, 422, ["users[0]", "string"]),
        ({"users": []}, 422, ["users is []", f"a list of 1 to {MAX_USERS} raw ids"]),
        (
            {"users": ["u1"] * (MAX_USERS + 1)},
            422,
            [f"users has {MAX_USERS + 1} entries", f"a list of 1 to {MAX_USERS} raw ids"],
        ),
        ({"users": [""]}, 422, ["users[0] is ''", f"a string of 1 to {MAX_ID_LENGTH} characters, or an integer"]),
        (
            {"users": ["u1", "x" * (MAX_ID_LENGTH + 1)]},
            422,
            [f"users[1] has {MAX_ID_LENGTH + 1} characters", f"1 to {MAX_ID_LENGTH} characters"],
        ),
        ({"users": ["u1", None]}, 422, ["users[1] is null", "string"]),
        ({"users": [True]}, 422, ["users[0] is true", "string"]),
        ({"users": [1.5]}, 422, ["users[0] is 1.5", "string"]),
        ({"users": "u1"}, 422, ["users is 'u1'", "a list"]),
        ({"users": {"a": 1}}, 422, ['users is {"a": 1}', "a list"]),
        ({"k": 10}, 422, ["users is missing", "a list of 1 to 100", "or one of items, item, history"]),
        ({"users": ["u1"], "exclude_seen": "no"}, 422, ["exclude_seen is 'no'", "true or false"]),
        ({"users": ["u1"], "top": 3}, 422, ["'top' is not a field", "users, k, exclude_seen"]),
        ([], 422, ["body is []", "object"]),
        ("null", 422, ["body is null", "object with one of users, items, item, history"]),
        ("", 400, ["not JSON"]),
        ("users=u1", 400, ["not JSON"]),
        ('{"users": ["u1"]', 400, ["not JSON"]),
        ('{"users": ["u1"]} x', 400, ["not JSON"]),
        (b'{"users": ["\xff"]}', 400, ["not JSON"]),
        ('{"users": ["\\ud800"]}', 400, ["not JSON"]),
        (b"\xff\xfe{\x00}\x00", 400, ["not JSON"]),
        ("[" * 100_000, 400, ["not JSON"]),
        ('{"users": ' + "[" * 100_000 + "]" * 100_000 + "}", 400, ["not JSON"]),
        ('{"x":' * 10_000 + "1" + "}" * 10_000, 400, ["not JSON"]),
        (" " * (MAX_BODY_BYTES + 1), 413, [f"{MAX_BODY_BYTES} bytes", "send fewer or shorter ids"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_names_field_value_and_limit(client, body, status, words):
    response = invoke(client, body)
    assert response.status_code == status
    assert response.json().keys() == {"error"}
    assert all(word in response.json()["error"] for word in words), response.json()
    assert len(response.json()["error"]) < 300
    assert invoke(client, {"users": ["u1"]}).status_code == 200


def test_a_chunked_body_is_bounded_too(client):
    response = client.post("/invocations", content=(b" " * 70_000 for _ in range(20)), headers=JSON)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"users": ["u1"], "k": 0, "k": 2}', "k"),
        ('{"users": ["u1"], "users": ["u1"]}', "users"),
        ('{"users": ["u1"], "k": 1, "\\u006b": 1}', "k"),
        ('{"users": ["u1"], "\u00e9": {"a": 1, "b": 2, "a": 3}}', "a"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(client, body, key):
    response = invoke(client, body.encode())
    assert response.status_code == 422
    assert response.json()["error"] == f"'{key}' is given more than once; expected each key once"


def test_users_may_repeat_and_each_is_answered(client):
    answers = invoke(client, {"users": ["u1", "nobody", "u1", "nobody"], "k": 3}).json()["recommendations"]
    assert [answer["user"] for answer in answers] == ["u1", "nobody", "u1", "nobody"]
    assert answers[:2] == answers[2:]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "", "application/x-www-form-urlencoded", "json", "application/json; charset=utf-16"]
)
def test_another_content_type_is_refused(client, content_type):
    response = invoke(client, {"users": ["u1"]}, **{"content-type": content_type})
    assert response.status_code == 415
    assert ("utf-8" if "charset" in content_type else "application/json") in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/invocations", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/ping/", 404),
        ("POST", "/invocations/", 404),
        ("X" * 10_000, f"/{'x' * 10_000}", 404),
    ],
    ids=["method", "path", "ping with slash", "invocations with slash", "long"],
)
def test_other_routes_are_refused_in_the_same_form(client, method, path, status):
    response = client.request(method, path, headers={"host": "elsewhere.example"}, follow_redirects=False)
    assert response.status_code == status
    assert "POST /invocations" in response.json()["error"]
    assert len(response.content) < 500
    assert "elsewhere" not in str(response.headers)
    assert response.headers.get("allow") == ("POST" if status == 405 else None)


def test_an_internal_error_is_answered_with_500_in_the_same_form_and_the_server_goes_on(client, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("defect")

    alive = TestClient(client.app, raise_server_exceptions=False)
    with monkeypatch.context() as patch:
        patch.setattr(Recommender, "recommendations", fail)
        response = invoke(alive, {"users": ["u1"]})
    assert response.status_code == 500
    assert response.json() == {"error": "internal error; see the server's log"}
    assert invoke(alive, {"users": ["u1"]}).status_code == 200


def test_one_line_of_json_without_ids_is_logged_for_each_request(client, caplog):
    with caplog.at_level(logging.INFO, "ncf.serving.requests"):
        invoke(client, {"users": ["u1", "secret-person", "u2", "u3"], "k": 5})
        invoke(client, {"users": ["secret-person"], "k": 0})
        client.get("/ping")
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert len(lines) == 2
    assert lines[0] | {"time": "", "latency_ms": 0} == {
        "time": "", "status": 200, "latency_ms": 0, "form": "users", "batch": 4, "k": 5, "fallback_share": 0.25
    }  # fmt: skip
    assert lines[1].keys() == {"time", "status", "latency_ms"}
    assert lines[1]["status"] == 422
    assert 0 < lines[0]["latency_ms"] < 10_000
    assert "secret" not in caplog.text


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
nearly_right = st.fixed_dictionaries(
    {"users": st.lists(st.text(max_size=8) | st.integers() | anything, max_size=5) | anything},
    optional={
        "k": st.integers(-2, MAX_K + 2) | anything,
        "exclude_seen": st.booleans() | anything,
        "more": anything,
    },
)
bodies = st.one_of(
    (anything | nearly_right).map(lambda value: json.dumps(value).encode()),
    (anything | nearly_right).map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.binary(max_size=200),
    st.text(alphabet='{}[]":,0123456789eE+-.\\utrfalsn ', max_size=80).map(str.encode),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
@example(body=b'{"users": ["\\u0000", "\xf0\x9f\x8e\xac", "u1"], "k": 1}')
def test_no_body_makes_the_server_fail(client, body):
    response = invoke(client, body)
    assert response.status_code in (200, 400, 422)
    content = response.json()
    if response.status_code == 200:
        sent = json.loads(body)
        texts = [str(int(user)) if isinstance(user, float) else str(user) for user in sent["users"]]
        assert [answer["user"] for answer in content["recommendations"]] == [canonical_id(text) for text in texts]
    elif response.status_code == 422:
        assert re.search(r"expected|accepted are|send one form", content["error"])
