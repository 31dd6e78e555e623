"""An id that is asked for is read as it was for training, in every form and format."""

from __future__ import annotations

import json
import re
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from random_model import random_model
from starlette.testclient import TestClient

from ncf.artifacts.golden import Golden
from ncf.artifacts.strings import Strings
from ncf.batch.users import UNKNOWN, Users
from ncf.errors import InputError
from ncf.serving.app import create_app
from ncf.serving.recommender import Recommender
from ncf.serving.show import Show
from ncf.stage import execution, parsing

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
PLAIN = random_model(n_users=60, n_items=60)
MODEL = replace(
    PLAIN,
    user_ids=Strings.of(map(str, range(60))),
    item_ids=Strings.of(map(str, range(60))),
    golden=Golden.model_validate_json(re.sub(r'"[ui](\d+)"', r'"\1"', PLAIN.golden.model_dump_json())),
)
loading: Future[Recommender] = Future()
loading.set_result(Recommender(MODEL))
CLIENT = TestClient(create_app(loading, page=True))
WAYS = ["42", " 42", "42\t", "42.0", " 42.0 ", 42, 42.0]


def post(body: Any, given: str = JSON) -> Any:
    content = body if isinstance(body, str) else json.dumps(body)
    return CLIENT.post("/invocations", content=content, headers={"content-type": given})


@pytest.mark.parametrize(
    "form",
    [
        lambda way: {"users": [way, way], "k": 3},
        lambda way: {"users": ["1"], "k": 60, "deny": [way]},
        lambda way: {"users": ["1"], "k": 60, "allow": [way, "7"]},
        lambda way: {"user": way, "items": [way, "7"]},
        lambda way: {"user": [way, way], "item": [way, "7"]},
        lambda way: {"item": way, "k": 3},
        lambda way: {"history": [way, "7"], "k": 3},
    ],
)
def test_every_form_asks_for_the_trained_id(form: Any) -> None:
    answers = [post(form(way)) for way in WAYS]
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert "unknown" not in answers[0].json()
    assert "popular" not in answers[0].text


def test_users_that_are_one_id_are_each_answered() -> None:
    answers = post({"users": WAYS, "k": 2}).json()["recommendations"]
    assert [(answer["user"], answer["source"]) for answer in answers] == [("42", "model")] * len(WAYS)


def test_rows_and_lines_ask_for_the_trained_id() -> None:
    rows = post("42\n 42\n42.0 \n", CSV).text.splitlines()
    assert len(rows) == 3
    assert len(set(rows)) == 1
    scores = post("42,7\n42.0, 7\n 42,7.0\n", CSV).text.splitlines()
    assert len(set(scores)) == 1
    assert float(scores[0])
    lines = post('{"users": [42.0]}\n{"users": ["42 "]}\n', LINES).text.splitlines()
    assert lines[0] == lines[1]


def test_an_item_given_twice_in_two_ways_is_refused() -> None:
    answer = post({"user": "1", "items": ["42", 42.0]})
    assert answer.status_code == 422
    assert "items[1] is '42' again, as items[0] is" in answer.json()["error"]


@pytest.mark.parametrize("other", ["042", "42.5", "42.00", "4 2", "U42"])
def test_other_ids_stay_other_ids(other: str) -> None:
    (answer,) = post({"users": [other]}).json()["recommendations"]
    assert (answer["user"], answer["source"]) == (other, "popular")


@pytest.mark.parametrize("value", ["None", "nan", "NULL", "  ", " N/A "])
@pytest.mark.parametrize("field", ["users", "history"])
def test_missing_values_are_named(field: str, value: str) -> None:
    answer = post({field: ["1", value]})
    assert answer.status_code == 422
    assert (
        f"{field}[1] is {value!r}, which stands for a missing value; expected a string of 1 to"
        in answer.json()["error"]
    )


@pytest.mark.parametrize("value", [42.5, 2.0**53, -1e18, 1e300, True, None])
def test_other_numbers_are_no_ids(value: Any) -> None:
    assert "or an integer of 64 bits" in post({"users": [value]}).json()["error"]


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ('{"users": ["42"]}', JSON),
        ('{"users": ["42"]}', LINES),
        ('{"users": ["42"]}\n{"users": ["1"]}', JSON),
        ("42\n", CSV),
    ],
)
def test_a_byte_order_mark_is_ignored(body: str, given: str) -> None:
    answer = post(f"\ufeff{body}", given)
    assert answer.status_code == 200
    assert answer.text == post(body, given).text


def test_a_list_of_users_is_read_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "users.txt"
    path.write_text("user_id\n 42 \n42.0\n7.0\nNone\nnan\n\n042\n")
    users = Users.read(path, MODEL.user_ids)
    assert list(users.ids) == ["42", "7", "042"]
    assert users.indices.tolist() == [42, 7, UNKNOWN]
    assert users.repeated == 1
    assert "users.txt: 2 lines stand for a missing user" in caplog.text


def test_the_page_searches_for_the_trained_id() -> None:
    def get(path: str, **query: str) -> Any:
        return CLIENT.get(f"/page/{path}", params=query).json()

    plain = get("history", user="42")
    assert plain["total"]
    for way in (" 42 ", "42.0"):
        assert get("history", user=way) == plain
        assert get("users", prefix=way)["users"] == ["42"]
    assert get("users", prefix="None")["users"] == []
    assert get("titles", query="42.0")["items"] == get("titles", query="42")["items"] != []
    assert get("titles", query="none")["items"] == []
    assert "expected a raw id" in get("history", user="None")["error"]


def test_show_asks_for_the_trained_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MODEL.save(tmp_path / "model", {}, {})
    for way in ("42", " 42.0"):
        execution.run(Show, ["--model", str(tmp_path / "model"), f"--user={way}"])
    one, other = capsys.readouterr().out.split("model ")[1:]
    assert one.rstrip() == other.rstrip()
    assert "not in the model" not in one
    with pytest.raises(InputError, match="'user' is 'nan': expected a raw id"):
        parsing.parse(Show, ["--model", "m", "--user", "nan"])
