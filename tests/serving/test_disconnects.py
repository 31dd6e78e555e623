"""Clients that disconnect, read slowly or read nothing, over real sockets: no work is done for them, nothing is kept."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from live_server import JSON, LINES, Live, live, post, until
from random_model import random_model

from ncf.api import limits
from ncf.serving.backpressure import Backpressure
from ncf.serving.recommender import Recommender

MODEL = random_model(n_items=2000, positives=30)
CORES = len(os.sched_getaffinity(0))
MANY_LINES = b'{"item": "i1"}\n' * limits.MAX_RECORDS
LARGE = json.dumps({"users": ["u1"] * 100, "k": 1000}).encode()
LARGE_ANSWER = 6_000_000
"""Bytes of the answer to ``LARGE``, rounded up."""


@pytest.fixture
def stall_seconds() -> float:
    return limits.STALL_SECONDS


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client makes the server log a warning or a traceback."""
    with caplog.at_level(logging.WARNING):
        yield
    logged = caplog.get_records("call")  # `caplog.records` holds those of the teardown alone here
    assert not [record.getMessage() for record in logged if record.levelno >= logging.WARNING]


@pytest.fixture
def server(stall_seconds: float, quiet: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr(limits, "STALL_SECONDS", stall_seconds)
    with live(MODEL) as running:
        yield running


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The form of each list of items that is computed; each takes 5 ms."""
    made: list[str] = []
    answer, recommendations = Recommender.answer, Recommender.recommendations

    def slow_answer(self: Recommender, form: Any) -> Any:
        made.append(form.label)
        time.sleep(0.005)
        return answer(self, form)

    def slow_recommendations(self: Recommender, form: Any) -> Any:
        for recommendation in recommendations(self, form):
            made.append(form.label)
            time.sleep(0.005)
            yield recommendation

    monkeypatch.setattr(Recommender, "answer", slow_answer)
    monkeypatch.setattr(Recommender, "recommendations", slow_recommendations)
    return made


def test_a_batch_of_a_client_that_disconnects_is_not_answered_to_the_end(server, answered) -> None:
    client = server.client(post(MANY_LINES, LINES))
    until(lambda: len(answered) > 100)
    client.close()
    until(lambda: server.requests("similar", 499) == 1)
    assert server.metric("ncf_requests_in_flight") == server.metric("ncf_unread_bytes") == 0
    count = len(answered)
    time.sleep(0.2)
    assert len(answered) == count < 2000, "of 10,000"


def test_a_request_for_many_users_is_not_answered_to_the_end(server, answered) -> None:
    client = server.client(post(LARGE))
    until(lambda: len(answered) > 1)
    client.close()
    until(lambda: server.requests("users", 499) == 1)
    assert len(answered) < 100


@contextmanager
def busy_threads(server: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Clients whose requests for many lists hold all threads for such requests."""
    held, recommendations = threading.Event(), Recommender.recommendations

    def waiting(self: Recommender, form: Any) -> Any:
        held.wait(30)
        yield from recommendations(self, form)

    monkeypatch.setattr(Recommender, "recommendations", waiting)
    clients = [server.client(post(LARGE)) for _ in range(CORES)]
    until(lambda: server.metric("ncf_requests_in_flight") == CORES)
    try:
        yield clients
    finally:
        held.set()
        for client in clients:
            client.close()


def test_work_for_a_client_that_disconnects_while_it_waits_for_a_thread_is_not_begun(
    server, answered, monkeypatch
) -> None:
    with busy_threads(server, monkeypatch):
        client = server.client(post(MANY_LINES, LINES))
        until(lambda: server.metric("ncf_requests_in_flight") == CORES + 1)
        client.close()
        until(lambda: server.requests("unknown", 499) == 1)
        assert server.metric("ncf_requests_in_flight") == CORES
    until(lambda: server.metric("ncf_requests_in_flight") == 0)
    assert "similar" not in answered


def test_a_request_for_one_list_does_not_wait_for_those_for_many(server, monkeypatch) -> None:
    with busy_threads(server, monkeypatch):
        start = time.monotonic()
        assert server.ask(b'{"item": "i1"}')[0] == 200
        assert time.monotonic() - start < 10
        assert server.metric("ncf_requests_in_flight") == CORES


def test_an_incomplete_request_of_a_client_that_disconnects_is_not_answered(server, answered) -> None:
    client = server.client(post(b'{"item": "i1"}')[:-1])
    until(lambda: server.metric("ncf_requests_in_flight") == 1)
    client.close()
    until(lambda: server.requests("unknown", 499) == 1)
    assert not answered
    assert server.metric("ncf_requests_in_flight") == 0


@pytest.mark.parametrize("stall_seconds", [0.5])
def test_the_connection_of_a_client_that_reads_nothing_is_reset(server) -> None:
    client = server.client(post(LARGE), receive_buffer=1 << 12)
    until(lambda: server.requests("users", 499) == 1)
    until(lambda: not server.server.server_state.connections)
    assert server.metric("ncf_unread_bytes") == server.metric("ncf_requests_in_flight") == 0
    with pytest.raises(ConnectionResetError):
        while client.recv(1 << 16):
            pass
    client.close()


@pytest.mark.parametrize("stall_seconds", [0.5])
def test_a_client_that_sends_requests_and_reads_nothing_is_reset_too(server) -> None:
    page = b"GET /openapi.json HTTP/1.1\r\nhost: test\r\n\r\n"
    client = server.client(page * 200, receive_buffer=1 << 12)
    until(lambda: not server.server.server_state.connections)
    client.close()


@pytest.mark.parametrize("stall_seconds", [0.5])
def test_a_slow_reader_gets_everything(server) -> None:
    client = server.client(post(LARGE), receive_buffer=1 << 14)
    response = http.client.HTTPResponse(client)
    response.begin()
    content, start = b"", time.monotonic()
    while piece := response.read(1 << 16):
        content += piece
        time.sleep(0.03)
    assert time.monotonic() - start > 1
    assert len(json.loads(content)["recommendations"]) == 100
    assert server.requests("users", 200) == 1
    client.close()


def test_an_answer_has_to_be_read_in_time(server, monkeypatch, caplog) -> None:
    monkeypatch.setattr(limits, "SEND_SECONDS", 1.0)
    client = server.client(post(LARGE), receive_buffer=1 << 12)
    response = http.client.HTTPResponse(client)
    response.begin()
    content, start = 0, time.monotonic()
    while time.monotonic() - start < 1.5:  # it reads, but too slowly
        content += len(response.read(1 << 12))
        time.sleep(0.03)
    until(lambda: server.requests("users", 499) == 1)
    assert "did not read an answer within 1 s" in caplog.text
    assert server.metric("ncf_unread_bytes") == server.metric("ncf_requests_in_flight") == 0
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    client.close()
    caplog.clear()  # uvicorn has logged that the answer is not complete


def test_answers_that_clients_do_not_read_stay_below_the_limit(server, monkeypatch) -> None:
    """Sixty clients at once, each of which alone would be within the limit."""
    monkeypatch.setattr(limits, "MAX_UNREAD_BYTES", 1_000_000)
    unread, count = [0], Backpressure.unread

    @contextmanager
    def watching(self: Backpressure, size: int) -> Iterator[None]:
        with count(self, size):
            unread.append(self.unread_bytes)
            yield

    monkeypatch.setattr(Backpressure, "unread", watching)
    clients = [server.client(post(LARGE), receive_buffer=1 << 12) for _ in range(60)]
    until(lambda: server.requests("unknown", 503) >= 40)
    assert server.metric("ncf_unread_bytes") >= 1_000_000
    status, answer = server.ask(b'{"users": ["u1"]}')
    assert (status, "have not read" in answer["error"]) == (503, True)

    def read(client: socket.socket) -> int:
        response = http.client.HTTPResponse(client)
        response.begin()
        content = json.loads(response.read())
        assert response.status == (200 if "recommendations" in content else 503)
        client.close()
        return len(content.get("recommendations", ()))

    with ThreadPoolExecutor(len(clients)) as pool:
        lists = list(pool.map(read, clients))
    assert set(lists) == {0, 100}
    assert max(unread) < 1_000_000 + CORES * LARGE_ANSWER
    assert server.metric("ncf_unread_bytes") == 0
    assert server.ask(b'{"users": ["u1"]}')[0] == 200


def test_a_large_answer_does_not_wait_in_the_server_s_own_buffers(server, monkeypatch) -> None:
    """A finished request leaves at most uvicorn's buffer and one chunk behind."""
    client = server.client(post(LARGE), receive_buffer=1 << 12)
    until(lambda: server.metric("ncf_unread_bytes") > 0)
    (connection,) = [c for c in server.server.server_state.connections if c.transport.get_write_buffer_size()]
    assert connection.transport.get_write_buffer_size() <= 1 << 17
    client.close()


@pytest.mark.parametrize(
    "headers", [{}, {"connection": "close"}, {"connection": "close", "content-type": "text/plain"}]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_too_much_or_is_refused_gets_the_reason(server, headers, chunked) -> None:
    """More than the kernel's buffers hold: a connection that is closed before all is read would be reset."""
    size, headers = 50 << 20, {"content-type": JSON, **headers}
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        body = (b" " * 65536 for _ in range(size // 65536)) if chunked else b" " * size
        connection.request("POST", "/invocations", body, headers)
        response = connection.getresponse()
        assert response.status == (413 if headers["content-type"] == JSON else 415)
        assert json.loads(response.read())["error"]
        connection.close()


def test_a_client_that_expects_100_continue_is_refused_before_it_sends_too_much(server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n"
    client = server.client(head + b"content-length: 2000000\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 413")
    client.close()
    client = server.client(head + b"content-length: 17\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 100")
    client.sendall(b'{"users": ["u1"]}')
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    client.shutdown(socket.SHUT_WR)
    client.close()


def test_slow_bodies_are_refused_and_their_connections_closed(server, monkeypatch) -> None:
    """As many as are in flight at most: others are refused meanwhile, and answered afterwards."""
    monkeypatch.setattr(limits, "BODY_SECONDS", 1.0)
    clients = [server.client(post(b'{"item": "i1"}')[:-1]) for _ in range(limits.MAX_REQUESTS)]
    until(lambda: server.metric("ncf_requests_in_flight") == limits.MAX_REQUESTS)
    assert server.ask(b'{"users": ["u1"]}')[0] == 503
    until(lambda: server.metric("ncf_requests_in_flight") == 0)
    assert server.ask(b'{"users": ["u1"]}')[0] == 200
    for client in clients:
        response = b""
        while piece := client.recv(1000):
            response += piece
        assert response.startswith(b"HTTP/1.1 408")
        client.close()
