"""Bodies in JSON, JSON Lines and CSV, and their limits."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model import random_model
from starlette.testclient import TestClient

from ncf.api import limits
from ncf.api.limits import MAX_BODY_BYTES, MAX_ITEMS, MAX_K, MAX_RECORDS, MAX_USERS
from ncf.api.requests import DEFAULT_K
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


def test_many_lines_are_answered_in_order() -> None:
    users = [f"u{number % 12}" for number in range(3000)]
    body = "".join(json.dumps({"users": [user], "k": 3}) + "\n" for user in users)
    response = post(body, LINES)
    assert int(response.headers["content-length"]) == len(response.content) > 1 << 16, "more than one chunk"
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
def test_an_answer_encoded_user_by_user_is_the_whole_one(media: str, allow: list[str] | None) -> None:
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
        assert response.text == json.dumps(expected, separators=(",", ":")) + "\n"


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
def test_an_error_names_the_line_and_nothing_is_answered(body, media, status, words) -> None:
    response = post(body, media)
    assert response.status_code == status
    assert all(word in response.json()["error"] for word in words), response.json()


def test_the_limits_admit_the_largest_record_and_as_many_records_of_the_default_size() -> None:
    assert MAX_ITEMS == MAX_USERS * MAX_K == MAX_RECORDS * DEFAULT_K
    largest = json.dumps({"users": ["u1"] * MAX_USERS, "k": MAX_K})
    assert post(largest, JSON).status_code == post(largest, LINES).status_code == 200


@pytest.mark.parametrize(("media", "record"), [(LINES, '{"item": "nothing", "k": 1}'), (CSV, "u1,i1"), (CSV, "u1")])
def test_a_body_has_a_limited_number_of_records(media: str, record: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_RECORDS", 50)
    response = post(f"{record}\n" * 50, media)
    assert response.status_code == 200
    assert len(response.text.splitlines()) == 50
    response = post(f"{record}\n" * 51, media)
    assert response.status_code == 413
    assert response.json()["error"] == (
        "body has more than 50 records, the limit; "
        "send several requests (in a batch transform: BatchStrategy SingleRecord)"
    )


@pytest.mark.parametrize(
    ("record", "items", "last"),
    [
        ({"users": ["u1"] * 99, "k": 1000}, 99_000, 2),
        ({"user": "u1", "items": [f"i{number}" for number in range(9999)]}, 9999, 11),
        ({"item": "nothing", "k": 1000}, 1000, 101),
        ({"history": ["nothing"], "k": 999}, 999, 101),
        ({"history": ["nothing"], "k": 1000}, 1000, 101),
    ],
)
def test_the_records_of_a_body_ask_for_a_limited_number_of_items(record: Any, items: int, last: int) -> None:
    line = json.dumps(record) + "\n"
    response = post(line * last, LINES)
    assert response.status_code == 413
    message = f"line {last}: the records up to here ask for {items * last} items; expected at most {MAX_ITEMS}"
    assert response.json()["error"].startswith(message)
    assert post(line * (last - 1), LINES).status_code == 200


def test_pairs_count_as_the_ten_items_that_they_are_answered_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ITEMS", 29)
    line = json.dumps({"user": ["u1"] * 20, "item": [f"i{number}" for number in range(20)]}) + "\n"
    assert post(line * 2, LINES).status_code == 200
    assert "ask for 30 items" in post(line * 3, LINES).json()["error"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_compressed_bodies_are_refused(encoding: str) -> None:
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


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("accept", [{}, {"accept": JSON}, {"accept": "*/*"}])
def test_lines_sent_as_json_are_answered_as_lines(end: str, accept: dict[str, str]) -> None:
    """As a batch transform job sends them, if nothing but its content type is given."""
    lines = ['{"users": ["u1"], "k": 2}', '{"item": "i1"}', '{"user": "u1", "items": ["i3"]}']
    response = post((end or "\n").join(lines) + end, JSON, **accept)
    assert (response.status_code, response.headers["content-type"]) == (200, LINES)
    assert response.text == post("\n".join(lines), LINES).text
    assert post("\n".join(lines), JSON, accept=CSV).text == post("\n".join(lines), LINES, accept=CSV).text


def test_one_request_on_several_lines_is_one_request() -> None:
    body = {"users": ["u1"], "k": 2}
    for text in (json.dumps(body, indent=2), f"\n\n{json.dumps(body)}\n\n", json.dumps(body)):
        response = post(text, JSON)
        assert response.headers["content-type"] == JSON
        assert response.json() == post(json.dumps(body), JSON).json()


@pytest.mark.parametrize("size", [1, 2000])
def test_other_bodies_of_several_requests_say_how_to_send_them(size: int) -> None:
    body = {"users": ["u1"]}
    for text in (json.dumps([body] * size), json.dumps([body] * size, indent=1), json.dumps(body) + json.dumps(body)):
        response = post(text, JSON)
        assert response.status_code in (400, 422)
        assert "several requests are sent one a line, as application/jsonlines" in response.json()["error"]
    broken = post('{"users": ["u1"]}\n{"users": }\n', JSON)
    assert broken.status_code == 400
    assert broken.json()["error"].startswith("line 2: body is not JSON")
