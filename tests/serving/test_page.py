"""The page at ``/`` and the routes that it reads: there only where the page is asked for."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import re
import tomllib
from concurrent.futures import Future
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_model import random_model
from starlette.testclient import TestClient

from ncf.artifacts.strings import Strings
from ncf.serving.app import create_app
from ncf.serving.page import HISTORY_ITEMS, MAX_QUERY_LENGTH, SUGGESTIONS, UserIndex
from ncf.serving.recommender import Recommender
from ncf.serving.serve import Serve
from ncf.stage import parsing

PATHS = ["/", "/page/about", "/page/users", "/page/titles?query=title", "/page/history?user=u1"]
HOSTILE = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>'


def client_of(recommender: Recommender | None, page: bool = True) -> TestClient:
    loading: Future[Recommender] = Future()
    if recommender is not None:
        loading.set_result(recommender)
    return TestClient(create_app(loading, page=page))


@pytest.fixture(scope="module")
def client() -> TestClient:
    return client_of(Recommender(random_model(n_users=120, n_items=200, positives=110)))


@pytest.mark.parametrize("path", PATHS)
def test_it_is_off_unless_asked_for(path: str) -> None:
    recommender = Recommender(random_model())
    assert client_of(recommender, page=False).get(path).status_code == 404
    assert client_of(recommender).get(path).status_code == 200


def test_the_parameter_of_serve() -> None:
    assert parsing.parse(Serve, ["--model", "m"]).model_dump()["page"] is False
    assert parsing.parse(Serve, ["--model", "m", "--page", "true"]).model_dump()["page"] is True


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_policy_allows_just_what_the_page_holds(client: TestClient, path: str) -> None:
    response = client.get(path)
    directives = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert directives["default-src"] == directives["base-uri"] == directives["frame-ancestors"] == "'none'"
    assert directives["connect-src"] == "'self'"
    assert directives["require-trusted-types-for"] == "'script'"
    for kind in ("style", "script"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert directives[f"{kind}-src"] == f"'sha256-{digest}'"
    markup = re.sub(r"<(style|script)>.*?</\1>", "", response.text, flags=re.DOTALL)
    assert not re.search(r"\s(style|on\w+)=", markup), "the policy would refuse it"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_it_loads_nothing_from_elsewhere(client: TestClient) -> None:
    text = client.get("/").text
    assert set(re.findall(r'(?:src|href|action)="([^"]*)"', text)) == {"data:,", "docs", "#"}
    assert not re.search(r"@import|url\(|innerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


def test_the_page_is_one_file(client: TestClient) -> None:
    """The parts that it is made of are all in it."""
    text = client.get("/").text
    assert "/* include" not in text
    parts = resources.files("ncf.serving").joinpath("static").iterdir()
    assert [part.name for part in parts if part.read_text(encoding="utf-8") not in text] == []


def test_what_the_page_is_made_of_is_in_the_wheel() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["*"]
    parts = resources.files("ncf.serving").joinpath("static").iterdir()
    assert [part.name for part in parts if not any(fnmatch(part.name, pattern) for pattern in patterns)] == []


def test_users_are_suggested_by_how_they_begin(client: TestClient) -> None:
    assert client.get("/page/users", params={"prefix": "u1"}).json()["users"] == [
        "u1", "u10", "u11", "u12", "u13", "u14", "u15", "u16",
    ]  # fmt: skip
    assert client.get("/page/users", params={"prefix": "u119"}).json()["users"] == ["u119"]
    assert client.get("/page/users", params={"prefix": "U1"}).json()["users"] == []
    some = client.get("/page/users").json()["users"]
    assert len(set(some)) == SUGGESTIONS


@given(st.sets(st.text(min_size=1), min_size=1), st.text(max_size=2))
def test_suggestions_are_the_shortest_of_those_that_begin_so(users: set[str], prefix: str) -> None:
    alike = sorted((user for user in users if user.startswith(prefix)), key=lambda user: (len(user), user))
    found = UserIndex(users).suggest(prefix)
    if prefix:
        assert found == alike[:SUGGESTIONS]
    else:
        assert len(found) == len(set(found)) == min(SUGGESTIONS, len(users))
        assert set(found) <= users


def test_the_history_is_the_best_first_and_says_how_much_it_leaves_out(client: TestClient) -> None:
    content = client.get("/page/history", params={"user": "u3"}).json()
    assert content["total"] == 110
    assert len(content["items"]) == HISTORY_ITEMS
    scores = [item["score"] for item in content["items"]]
    assert scores == sorted(scores, reverse=True)
    body = {"user": "u3", "items": [item["item"] for item in content["items"]]}
    asked = client.post("/invocations", json=body).json()["items"]
    assert [(item["item"], item.get("title")) for item in asked] == [
        (item["item"], item.get("title")) for item in content["items"]
    ]
    assert [item["score"] for item in asked] == pytest.approx(scores, abs=1e-5)


def test_the_latest_come_first_where_dates_are_known() -> None:
    model = random_model(n_users=3, n_items=40, positives=20)
    days = (np.arange(60) * 7 % 10).astype(np.int32)
    dated = Recommender(dataclasses.replace(model, seen_days=days))
    found = client_of(dated).get("/page/history", params={"user": "u1"}).json()["items"]
    expected = {
        f"i{item}": f"1970-01-{day + 1:02}"
        for item, day in zip(model.seen.of_user(1).tolist(), days[20:40].tolist(), strict=True)
    }
    assert {item["item"]: item["date"] for item in found} == expected
    order = [(item["date"], item["score"]) for item in found]
    assert order == sorted(order, reverse=True), "of one day the best first"


def test_titles_are_found(client: TestClient) -> None:
    def search(query: str) -> list[dict[str, str]]:
        content = client.get("/page/titles", params={"query": query}).json()
        assert content["model_version"] == ""
        return content["items"]

    assert search("TÍTLE 199") == [{"item": "i199", "title": "Title 199"}]
    assert search("i0") == [{"item": "i0"}], "it has no title"
    assert len(search("title")) == len(search("")) == SUGGESTIONS
    assert search("no such title") == []


def test_a_long_query_is_refused(client: TestClient) -> None:
    assert client.get("/page/titles", params={"query": "x" * MAX_QUERY_LENGTH}).json()["items"] == []
    refused = client.get("/page/titles", params={"query": "x" * (MAX_QUERY_LENGTH + 1)})
    assert (refused.status_code, refused.json()) == (422, {"error": "query has 513 characters; expected 512 at most"})


def test_the_model_is_described(client: TestClient) -> None:
    assert client.get("/page/about").json() == {
        "model_version": "",
        "model": "NeuMF",
        "users": 120,
        "items": 200,
        "interactions": 120 * 110,
    }


def test_all_of_a_history_can_be_read(client: TestClient) -> None:
    def read(start: int) -> list[str]:
        content = client.get("/page/history", params={"user": "u3", "start": start}).json()
        assert content["total"] == 110
        return [item["item"] for item in content["items"]]

    assert read(HISTORY_ITEMS - 1)[:1] == read(0)[-1:]
    assert len(set(read(0) + read(HISTORY_ITEMS))) == 110
    assert read(110) == read(999_999_999) == []


@pytest.mark.parametrize("start", ["-1", "1.5", "x", "", "1" * 5000])
def test_a_start_that_is_no_index_is_refused(start: str, client: TestClient) -> None:
    refused = client.get("/page/history", params={"user": "u3", "start": start})
    assert refused.status_code == 422
    assert f"start is {start[:60]!r}; expected an index into the history" in refused.json()["error"]


def test_an_unknown_user_has_no_history(client: TestClient) -> None:
    assert client.get("/page/history", params={"user": "nobody"}).json() == {"user": "nobody", "total": 0, "items": []}


def test_no_user_and_no_model_are_refused(client: TestClient) -> None:
    refused = client.get("/page/history")
    assert (refused.status_code, refused.json()) == (422, {"error": "user is missing; expected a raw id"})
    loading = client_of(None)
    assert loading.get("/").status_code == 200
    for path in PATHS[1:]:
        answer = loading.get(path)
        assert answer.status_code == 503
        assert "not loaded" in answer.json()["error"]


def test_a_hostile_title_stays_text() -> None:
    model = dataclasses.replace(random_model(), item_titles=Strings.of([HOSTILE] * 40))
    client = client_of(Recommender(model))
    answer = client.get("/page/history", params={"user": "u1"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["items"][0]["title"] == HOSTILE
    assert HOSTILE not in client.get("/").text
    assert html.escape(HOSTILE) not in client.get("/").text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
def test_it_only_reads(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 405
