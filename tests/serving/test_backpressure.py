"""Limits on concurrent work, and the metrics that show it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from concurrent.futures import Future
from typing import Any

import httpx
import pytest
from random_model import random_model
from starlette.testclient import TestClient

from ncf.api import limits
from ncf.serving.app import create_app
from ncf.serving.backpressure import Backpressure, UnavailableError
from ncf.serving.recommender import Recommender

JSON = {"content-type": "application/json"}
LARGE = {"users": ["u1"] * 100, "k": 1000}


def app_of(model: Any, max_requests: int = limits.MAX_REQUESTS) -> Any:
    loading: Future[Recommender] = Future()
    loading.set_result(Recommender(model))
    return create_app(loading, max_requests)


def test_requests_beyond_the_limit_are_refused_with_retry_after_and_ping_answers(monkeypatch) -> None:
    app, held = app_of(random_model(n_items=200), max_requests=3), threading.Event()
    answer = Recommender.recommendations

    def slow(self: Recommender, form: Any) -> Any:
        held.wait(30)
        return answer(self, form)

    monkeypatch.setattr(Recommender, "recommendations", slow)

    async def scenario() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            body = json.dumps(LARGE)  # 20,000 pairs, so scored in a thread
            first = [asyncio.create_task(client.post("/invocations", content=body, headers=JSON)) for _ in range(3)]
            await asyncio.sleep(0.2)
            refused = await client.post("/invocations", content=body, headers=JSON)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert "3 requests are in flight" in refused.json()["error"]
            assert (await client.get("/ping")).status_code == 200
            assert "ncf_requests_in_flight 3.0\n" in (await client.get("/metrics")).text
            held.set()
            assert [(await task).status_code for task in first] == [200] * 3
            assert (await client.post("/invocations", content=body, headers=JSON)).status_code == 200

    asyncio.run(scenario())


def scope() -> dict[str, Any]:
    return {
        "type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip


def test_no_answer_is_computed_while_clients_leave_too_much_unread(monkeypatch) -> None:
    monkeypatch.setattr(limits, "MAX_UNREAD_BYTES", 50_000)
    app = app_of(random_model(n_items=200))

    async def scenario() -> None:
        read, pieces = asyncio.Event(), []
        body = iter([{"type": "http.request", "body": json.dumps(LARGE).encode(), "more_body": False}])

        async def receive() -> dict[str, Any]:
            if (message := next(body, None)) is None:
                await asyncio.Event().wait()
            return message or {}

        async def send(message: dict[str, Any]) -> None:
            pieces.append(len(message.get("body", b"")))
            if len(pieces) > 1:
                await read.wait()

        unread = asyncio.create_task(app(scope(), receive, send))
        await asyncio.sleep(1)
        assert max(pieces) <= 1 << 16, "the rest waits for the client"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            refused = await client.post("/invocations", content=json.dumps({"users": ["u1"]}), headers=JSON)
            assert refused.status_code == 503
            assert "have not read" in refused.json()["error"]
            read.set()
            await unread
            assert sum(pieces) > 500_000
            answered = await client.post("/invocations", content=json.dumps({"users": ["u1"]}), headers=JSON)
            assert answered.status_code == 200

    asyncio.run(scenario())


def test_a_body_that_does_not_arrive_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app_of(random_model())(scope(), receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert "not complete after 0.05 seconds" in json.loads(sent[1]["body"])["error"]


def test_counts_go_down_after_an_error() -> None:
    backpressure = Backpressure(1)
    with pytest.raises(ValueError, match="defect"), backpressure.request(), backpressure.unread(5):
        raise ValueError("defect")
    with backpressure.request(), backpressure.unread(5):
        assert (backpressure.requests, backpressure.unread_bytes) == (1, 5)
        with pytest.raises(UnavailableError), backpressure.request():
            pass
    assert (backpressure.requests, backpressure.unread_bytes) == (0, 0)


def test_metrics_are_prometheus_text_and_count_requests() -> None:
    client = TestClient(app_of(random_model()))
    for body in ({"users": ["u1", "nobody"]}, {"users": ["u1"], "k": 0}, {"history": ["i1"]}, {"item": "i1"}):
        client.post("/invocations", json=body)
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')
    assert all(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line) for line in lines)
    assert 'ncf_requests_total{form="users",status="200"} 1.0' in lines
    assert 'ncf_requests_total{form="unknown",status="422"} 1.0' in lines
    assert 'ncf_rankings_total{source="popular"} 1.0' in lines
    assert 'ncf_rankings_total{source="model"} 2.0' in lines
    assert 'ncf_rankings_total{source="history"} 1.0' in lines
    assert 'ncf_request_duration_seconds_bucket{le="+Inf"} 4.0' in lines
    assert "ncf_request_duration_seconds_count 4.0" in lines
    assert 'ncf_model_info{model="neumf",version=""} 1.0' in lines
    assert 'ncf_model_size{kind="users"} 12.0' in lines
    assert 'ncf_model_size{kind="items"} 40.0' in lines
    assert any(line.startswith("process_resident_memory_bytes ") and float(line.split()[1]) > 1e6 for line in lines)
    assert "ncf_requests_in_flight 0.0" in lines
    assert "ncf_unread_bytes 0.0" in lines
    counts = [float(line.split()[1]) for line in lines if "_bucket{" in line]
    assert counts == sorted(counts)


def test_each_application_has_metrics_of_its_own_and_the_model_s_once_it_is_loaded() -> None:
    loading: Future[Recommender] = Future()
    first, second = TestClient(create_app(loading)), TestClient(app_of(random_model()))
    second.post("/invocations", json={"users": ["u1"]})
    assert "ncf_requests_total{" not in first.get("/metrics").text
    assert "ncf_model_size{" not in first.get("/metrics").text
    loading.set_result(Recommender(random_model()))
    assert 'ncf_model_size{kind="items"} 40.0\n' in first.get("/metrics").text


def test_metrics_come_as_openmetrics_to_who_asks_for_it() -> None:
    response = TestClient(app_of(random_model())).get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


@pytest.mark.parametrize("version", ["abc", "1.x.0", '"1.0.0"', "\u0661"])
def test_metrics_come_as_text_to_who_asks_for_a_version_that_is_no_number(version: str) -> None:
    accept = f"application/openmetrics-text; version={version}".encode()
    response = TestClient(app_of(random_model())).get("/metrics", headers={b"accept": accept})
    assert response.status_code == 200
