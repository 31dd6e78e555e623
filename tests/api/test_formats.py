"""JSON Lines and CSV, as batch transforms send them, and what else a body may be."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model import random_model
from starlette.testclient import TestClient

from ncf.api.requests import MAX_BODY_BYTES
from ncf.serving.app import create_app
from ncf.serving.recommender import Recommender

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
loading: Future[Recommender] = Future()
loading.set_result(Recommender(random_model()))
CLIENT = TestClient(create_app(loading))


def post(body: bytes | str, given: str, **headers: str) -> Any:
    return CLIENT.post("/invocations", content=body, headers={"content-type": given, **headers})


def test_lines_of_several_forms_are_answered_in_order() -> None:
    body = (
        '{"users": ["u1", "nobody"], "k": 2}\n\n{"user": "u1", "items": ["i3"]}\r\n{"item": "nothing"}\n{"item": "i1"}'
    )
    response = post(body, LINES)
    assert response.status_code == 200
    assert response.headers["content-type"] == LINES
    first, second, third, fourth = (json.loads(line) for line in response.text.splitlines())
    assert [answer["source"] for answer in first["recommendations"]] == ["model", "popular"]
    assert second["items"][0]["item"] == "i3"
    assert third == {"error": "item is 'nothing', which the model does not know; expected one of its items"}
    assert len(fourth["similar"]) == 10


@pytest.mark.parametrize("name", ["application/x-ndjson", "application/jsonl", "Application/JsonLines; charset=UTF-8"])
def test_other_names_of_json_lines(name: str) -> None:
    assert post('{"users": ["u1"]}\n', name).headers["content-type"] == LINES


def test_many_lines_come_in_parts_that_make_the_same_whole() -> None:
    users = [f"u{number % 12}" for number in range(3000)]
    body = "".join(json.dumps({"users": [user], "k": 3}) + "\n" for user in users)
    response = post(body, LINES)
    assert "content-length" not in response.headers, "it is more than is held at once"
    answers = [json.loads(line)["recommendations"][0] for line in response.text.splitlines()]
    assert [answer["user"] for answer in answers] == users
    assert all(answer == answers[number % 12] for number, answer in enumerate(answers))
    assert post(body, LINES, accept=JSON).json() == [json.loads(line) for line in response.text.splitlines()]


@pytest.mark.parametrize(
    ("media", "record"), [(LINES, '{"users": ["u1"], "k": 2}'), (LINES, '{"item": "i1"}'), (CSV, "u1"), (CSV, "u1,i1")]
)
def test_records_may_repeat_and_each_is_answered(media: str, record: str) -> None:
    once, twice = (post(f"{record}\n" * count, media) for count in (1, 2))
    assert once.status_code == twice.status_code == 200
    assert twice.text == once.text * 2


@pytest.mark.parametrize("media", [JSON, LINES, CSV])
@pytest.mark.parametrize("allow", [None, ["i1", "i2", "nothing"]])
def test_an_answer_made_user_by_user_is_the_whole_one(media: str, allow: list[str] | None) -> None:
    """Of many users, so that it comes in several parts."""
    users, recommender = [f"u{number % 14}" for number in range(100)], loading.result()
    response = post(json.dumps({"users": users, "k": 1000, "allow": allow}), JSON, accept=media)
    expected = {
        "model_version": recommender.version,
        "recommendations": recommender.recommend(users, 1000, allow=allow),
    }
    if allow:
        expected["unknown"] = ["nothing"]
    if media == CSV:
        rows = [[item["item"] for item in answer["items"]] for answer in expected["recommendations"]]
        assert [row.split(",") if row else [] for row in response.text.splitlines()] == rows
    else:
        assert response.text == json.dumps(expected, separators=(",", ":")) + ("\n" if media == LINES else "")


def test_csv_quotes_ids_that_need_it() -> None:
    assert post('"a,b"\n"c""d"\n', CSV, accept=LINES).text.count('"source":"popular"') == 2
    response = post('u1,i1\n"u1","no, thing"\n', CSV, accept=LINES)
    items = [json.loads(line)["items"][0] for line in response.text.splitlines()]
    assert items[1] == {"item": "no, thing", "score": None}
    assert post("\ufeffu1\n", CSV, accept=LINES).json()["recommendations"][0]["user"] == "u1"


def test_the_answer_is_what_the_client_accepts() -> None:
    body = '{"users": ["u1", "u2"], "k": 3}'
    as_json = post(body, JSON).json()["recommendations"]
    rows = post(body, JSON, accept=CSV).text.splitlines()
    assert rows == [",".join(item["item"] for item in answer["items"]) for answer in as_json]
    for accept, expected in {
        "*/*": JSON,
        "": JSON,
        "text/html, application/json;q=0.5": JSON,
        "application/json;q=0.1, text/csv": CSV,
        "text/*": CSV,
        "application/*": JSON,
        "text/csv;q=0, application/jsonlines": LINES,
    }.items():
        assert post(body, JSON, accept=accept).headers["content-type"] == expected, accept
    assert post("u1\n", CSV, accept="*/*").headers["content-type"] == CSV
    assert post(body, JSON, accept="text/html").status_code == 406
    lines = [("content-type", JSON), ("accept", "text/html"), ("accept", CSV)]
    assert CLIENT.post("/invocations", content=body, headers=lines).headers["content-type"] == CSV
    assert post(body, JSON, accept="text/csv;q=high").status_code == 406


@pytest.mark.parametrize(
    ("body", "media", "status", "words"),
    [
        ("", LINES, 400, ["holds no request"]),
        ("\n \n", LINES, 400, ["holds no request"]),
        ("", CSV, 400, ["holds no request"]),
        ('{"users": ["u1"]}\n{"users": []}\n', LINES, 422, ["line 2: users is []"]),
        ('{"users": ["u1"]}\n{"item": "i1", "k": 1, "k": 2}\n', LINES, 422, ["line 2: 'k' is given more than once"]),
        ('{"users": ["u1"]}\n\n{"users"\n', LINES, 400, ["line 3: body is not JSON"]),
        (b'{"users": ["\xff"]}\n', LINES, 400, ["line 1: body is not JSON"]),
        ("u1\nu2,i1\n", CSV, 422, ["line 2: row has 2 columns; expected 1, as in the first row"]),
        ("u1,i1\nu2\n", CSV, 422, ["line 2: row has 1 columns; expected 2"]),
        ("u1,i1,5\n", CSV, 422, ["line 1: row has 3 columns", "1 (user) or 2 (user, item)"]),
        ('u1\n"u2\n', CSV, 400, ["body is not CSV"]),
        (b"u1\n\xff\n", CSV, 400, ["not UTF-8", "byte 3"]),
        ("u1\n" + "x" * 600 + "\n", CSV, 422, ["line 2: users[0] has 600 characters", "1 to 512"]),
        ("x" * 200_000, CSV, 400, ["not CSV", "field larger"]),
        ("u1,\n", CSV, 422, ["line 1: items[0] is ''"]),
        ("u1\n" * (MAX_BODY_BYTES // 3 + 1), CSV, 413, [f"{MAX_BODY_BYTES} bytes", "its lines in several requests"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_fault_is_told_with_its_line_and_nothing_is_answered(body, media, status, words) -> None:
    response = post(body, media)
    assert response.status_code == status
    assert all(word in response.json()["error"] for word in words), response.json()


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_packed_bodies_are_refused(encoding: str) -> None:
    response = post('{"users": ["u1"]}', JSON, **{"content-encoding": encoding})
    assert response.status_code == 415
    assert encoding in response.json()["error"]
    assert post('{"users": ["u1"]}', JSON, **{"content-encoding": "identity"}).status_code == 200


line = st.one_of(
    st.text(max_size=40),
    st.sampled_from(['{"users": ["u1"]}', '{"item": "i1"}', "u1,i2", '"u', "u1", "[" * 300, '{"history": ["i1", 2]}']),
)
header = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(line, max_size=4),
    media=st.sampled_from([JSON, LINES, CSV]),
    accept=st.sampled_from([JSON, LINES, CSV, "*/*"]) | header,
    parameters=header,
)
def test_nothing_makes_the_server_fail(lines, media, accept, parameters) -> None:
    body = "\n".join(lines).encode("utf-8", "surrogatepass")
    response = post(body, f"{media};{parameters}", accept=accept.strip())
    assert response.status_code in (200, 400, 406, 415, 422)
    if response.status_code != 200:
        assert response.json()["error"]
