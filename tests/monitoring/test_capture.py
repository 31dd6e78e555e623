"""Captured records of each form and content type are read; those that cannot be are counted, with the reason."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from captured import answered, line, observed, of_user, population, record, side
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model import random_model

from ncf.api.media_types import CSV, JSON, LINES
from ncf.monitoring.files import Line
from ncf.monitoring.shown import FAILED
from ncf.monitoring.traffic import Traffic
from ncf.serving.recommender import Recommender

KNOWN = population({f"u{user}": 4 for user in range(12)}, {f"i{item}": 2 for item in range(40)})


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender(random_model("history"))


def traffic(*records: Any) -> Traffic:
    lines = [one if isinstance(one, Line) else line(one) for one in records]
    return observed(KNOWN, lines).total()


@pytest.mark.parametrize("base64", [False, True])
@pytest.mark.parametrize("wanted", [JSON, LINES, CSV])
@pytest.mark.parametrize(
    ("body", "form", "places", "requested"),
    [
        ({"users": ["u1", "u2"], "k": 3}, "users", 6, 0),
        ({"user": "u1", "items": ["i1", "i2", "nothing"]}, "candidates", 0, 3),
        ({"user": ["u1", "u1"], "item": ["i1", "i2"]}, "pairs", 2, 2),
        ({"item": "i1", "k": 4}, "similar", 4, 1),
        ({"history": ["i1", "i2"], "k": 5}, "history", 5, 2),
        ({"history": ["i1"], "user": "u1", "k": 5}, "history", 5, 1),
    ],
)
def test_each_form_is_read_in_each_media_type(
    recommender: Recommender, body: Any, form: str, places: int, requested: int, wanted: str, base64: bool
) -> None:
    found = traffic(answered(recommender, json.dumps(body).encode(), JSON, wanted, base64))
    assert not found.faults
    assert set(found.forms) == {form}
    assert int(found.served.sum()) == places
    assert found.requested == requested
    assert found.unknown_items == (form == "candidates")


@pytest.mark.parametrize("wanted", [JSON, LINES, CSV])
def test_several_requests_in_json_lines(recommender: Recommender, wanted: str) -> None:
    lines = [{"users": ["u1", "nobody"], "k": 3}, {"item": "nothing"}, {"user": "u2", "items": ["i1"]}]
    body = "\n".join(map(json.dumps, lines)).encode()
    found = traffic(answered(recommender, body, LINES, wanted, base64=True))
    assert not found.faults
    assert found.forms == {"users": 2, "similar": 1, "candidates": 1}
    assert found.sources == Counter({"model": 2, "popular": 1, FAILED: 1})


@pytest.mark.parametrize(("body", "forms"), [(b"u1\nnobody\n", {"users": 2}), (b"u1,i2\nu1,i3\n", {"candidates": 2})])
def test_requests_in_csv(recommender: Recommender, body: bytes, forms: dict[str, int]) -> None:
    found = traffic(answered(recommender, body, CSV))
    assert not found.faults
    assert found.forms == forms


def test_lines_sent_as_json_are_read_as_the_endpoint_reads_them(recommender: Recommender) -> None:
    found = traffic(answered(recommender, b'{"users": ["u1"]}\n{"users": ["u2"]}\n', JSON))
    assert found.forms == {"users": 2}
    assert not found.faults


def test_metadata_and_content_types_as_of_aws(recommender: Recommender) -> None:
    made = answered(recommender, b'{"users": ["u1"]}')
    made["captureData"]["endpointOutput"]["observedContentType"] = "application/json; charset=utf-8"
    made["eventMetadata"] |= {"customAttributes": ["trace=1"], "inferenceId": "7"}
    assert not traffic(made).faults


GOOD = of_user("u1", ["i1", "i2"])


def changed(*path: Any, to: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(GOOD))
    place: Any = made
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return made


def answer_of(content: Any) -> dict[str, Any]:
    return changed("captureData", "endpointOutput", "data", to=json.dumps(content))


HOSTILE: list[tuple[Any, str]] = [
    (b"{", "not_json"),
    (b"[1]", "not_json"),
    (b"\xff\xfe", "not_json"),
    (b'{"a":' * 100_000, "not_json"),
    (b"9" * 100_000, "not_json"),
    (b"{}", "no_time"),
    (changed("eventMetadata", to=None), "no_time"),
    (changed("eventMetadata", "inferenceTime", to=5), "no_time"),
    (changed("eventMetadata", "inferenceTime", to="yesterday"), "no_time"),
    (changed("captureData", to=[]), "no_request"),
    (changed("captureData", "endpointInput", to="x"), "no_request"),
    (changed("captureData", "endpointInput", "data", to=5), "no_request"),
    (changed("captureData", "endpointInput", "data", to='{"users": []}'), "request"),
    (changed("captureData", "endpointInput", "data", to='{"users": ' + "[" * 5000), "request"),
    (changed("captureData", "endpointInput", "encoding", to="BASE64"), "request"),
    (changed("captureData", "endpointInput", "observedContentType", to="image/png"), "content_type"),
    (record(side("INPUT", b'{"users": ["u1"]}', JSON, "JSON"), None), "no_answer"),
    (changed("captureData", "endpointOutput", "observedContentType", to="text/html"), "content_type"),
    (changed("captureData", "endpointOutput", "encoding", to="BASE64"), "answer"),
    (changed("captureData", "endpointOutput", "data", to="{"), "answer"),
    (answer_of([1]), "answer"),
    (answer_of({"recommendations": []}), "answer"),
    (answer_of({"recommendations": [{"source": "guess", "items": []}]}), "answer"),
    (answer_of({"recommendations": [{"source": "model", "items": [{"item": 5}]}]}), "answer"),
    (answer_of({"recommendations": [{"source": "model", "items": {"item": "i1"}}]}), "answer"),
    (answer_of({"recommendations": ["u1"]}), "answer"),
]


@pytest.mark.parametrize(("content", "fault"), HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def test_a_record_that_cannot_be_read_is_counted_and_the_others_are_read(content: Any, fault: str) -> None:
    found = traffic(GOOD, content, GOOD)
    assert found.faults == {fault: 1}
    assert found.records == 3
    assert found.forms == {"users": 2}


def test_a_line_that_is_too_long_is_counted() -> None:
    assert traffic(Line("AllTraffic", None)).faults == {"long_line": 1}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_change_of_a_record_stops_the_reading(data: st.DataObject) -> None:
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    paths = [("eventMetadata",), ("captureData",), ("captureData", "endpointInput"), ("captureData", "endpointOutput")]
    paths += [
        ("captureData", name, key) for name in ("endpointInput", "endpointOutput") for key in ("data", "encoding")
    ]
    made = changed(*data.draw(st.sampled_from(paths)), to=data.draw(values))
    content = bytearray(json.dumps(made).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    observation = observed(KNOWN, [line(bytes(content))])
    found = observation.total()
    assert found.records + observation.outside == 1
    assert found.unreadable + bool(found.forms) + observation.outside == 1


def test_records_outside_the_window_do_not_count() -> None:
    observation = observed(KNOWN, [line(of_user("u1", ["i1"], seconds)) for seconds in (-1, 0, 86_399, 86_400)])
    assert (observation.total().records, observation.outside) == (2, 2)
