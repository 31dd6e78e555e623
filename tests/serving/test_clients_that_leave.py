"""Clients that leave, or read nothing, over real sockets: no work is done for them and nothing is kept."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from live_server import JSON, LINES, Live, live, post, until
from random_model import random_model

from ncf.serving import invocations, load, protocol
from ncf.serving.load import Load
from ncf.serving.parts import BYTES_AT_ONCE
from ncf.serving.recommender import Recommender

MODEL = random_model(n_items=2000, positives=30)
MANY_LINES = b'{"item": "i1"}\n' * 20_000
LARGE = json.dumps({"users": ["u1"] * 100, "k": 1000}).encode()
"""Some 5 MB of answer."""


@pytest.fixture
def server(caplog: pytest.LogCaptureFixture) -> Iterator[Live]:
    with caplog.at_level(logging.WARNING), live(MODEL) as running:
        yield running
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")], "nothing surprises it"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A name for each list of items that is made; 5 ms each."""
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


@pytest.mark.parametrize("reads", [False, True])
def test_a_batch_of_a_client_that_leaves_is_not_answered_to_the_end(server, answered, reads) -> None:
    client = server.client(post(MANY_LINES, LINES))
    until(lambda: len(answered) > 100)
    if reads:
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    client.close()
    until(lambda: server.requests("similar", 499) == 1)
    assert server.metric("ncf_requests_in_flight") == server.metric("ncf_unread_bytes") == 0
    time.sleep(1)  # for the part that was being made
    count = len(answered)
    time.sleep(0.2)
    assert len(answered) == count < 2000, "of 20,000"


def test_a_request_for_many_users_is_not_answered_to_the_end(server, answered) -> None:
    client = server.client(post(LARGE))
    until(lambda: len(answered) > 1)
    client.close()
    until(lambda: server.requests("users", 499) == 1)
    time.sleep(0.5)
    assert len(answered) < 100


def test_who_leaves_before_its_request_is_complete_is_not_answered(server, answered) -> None:
    client = server.client(post(b'{"item": "i1"}')[:-1])
    until(lambda: server.metric("ncf_requests_in_flight") == 1)
    client.close()
    until(lambda: server.requests("unknown", 499) == 1)
    assert not answered
    assert server.metric("ncf_requests_in_flight") == 0


def test_a_client_that_reads_nothing_is_left_and_its_connection_closed(server, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "SEND_SECONDS", 0.5)
    client = server.client(post(LARGE), receive_buffer=1 << 12)
    until(lambda: server.requests("users", 499) == 1)
    until(lambda: not server.server.server_state.connections)
    assert server.metric("ncf_unread_bytes") == server.metric("ncf_requests_in_flight") == 0
    with pytest.raises(ConnectionResetError):
        while client.recv(1 << 16):
            pass
    client.close()


def test_who_asks_again_and_again_and_reads_nothing_is_left_too(server, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "SEND_SECONDS", 0.5)
    page = b"GET /openapi.json HTTP/1.1\r\nhost: test\r\n\r\n"
    client = server.client(page * 200, receive_buffer=1 << 12)
    until(lambda: not server.server.server_state.connections)
    client.close()


def test_a_slow_reader_gets_everything(server, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "SEND_SECONDS", 0.5)
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


def test_answers_not_read_stay_below_the_limit(server, monkeypatch) -> None:
    """Sixty clients at once, of which each alone would be within the limit."""
    monkeypatch.setattr(load, "MAX_UNREAD_BYTES", 1_000_000)
    unread, taken = [0], Load.taken

    def watching(self: Load, size: int) -> None:
        unread.append(self.unread_bytes)
        taken(self, size)

    monkeypatch.setattr(Load, "taken", watching)
    clients = [server.client(post(LARGE), receive_buffer=1 << 12) for _ in range(60)]
    until(lambda: server.metric("ncf_unread_bytes") >= 1_000_000)
    status, answer = server.ask(b'{"users": ["u1"]}')
    assert (status, "not read yet" in answer["error"]) == (503, True)

    def read(client: socket.socket) -> int:
        response = http.client.HTTPResponse(client)
        response.begin()
        content = json.loads(response.read())
        assert response.status == (200 if "recommendations" in content else 503)
        client.close()
        return len(content.get("recommendations", ()))

    with ThreadPoolExecutor(len(clients)) as pool:  # room comes as they read
        lists = list(pool.map(read, clients))
    assert set(lists) <= {0, 100}
    assert lists.count(100) >= 5
    one_list = 1000 * 60
    assert max(unread) < 1_000_000 + (len(os.sched_getaffinity(0)) + 1) * (BYTES_AT_ONCE + one_list)
    assert server.metric("ncf_unread_bytes") == 0


def test_no_request_takes_longer_than_the_limit(server, answered, monkeypatch, caplog) -> None:
    monkeypatch.setattr(invocations, "REQUEST_SECONDS", 2.0)
    client = server.client(post(MANY_LINES[: 15 * 3000], LINES))  # some 15 s
    response = http.client.HTTPResponse(client)
    response.begin()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()
    assert server.requests("similar", 504) == 1
    assert "cut short after 2 s" in caplog.text
    client.close()
    monkeypatch.setattr(invocations, "REQUEST_SECONDS", 0.001)
    status, answer = server.ask(LARGE)
    assert status == 503
    assert "no answer after 0.001 seconds" in answer["error"]


@pytest.mark.parametrize(
    "headers", [{}, {"connection": "close"}, {"connection": "close", "content-type": "text/plain"}]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_too_much_or_what_is_refused_is_told_so(server, headers, chunked) -> None:
    """More than the kernel's buffers hold, so that a connection closed before all was read would be reset."""
    size, headers = 50 << 20, {"content-type": JSON, **headers}
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        body = (b" " * 65536 for _ in range(size // 65536)) if chunked else b" " * size
        connection.request("POST", "/invocations", body, headers)
        response = connection.getresponse()
        assert response.status == (413 if headers["content-type"] == JSON else 415)
        assert json.loads(response.read())["error"]
        connection.close()


def test_who_asks_whether_to_send_too_much_is_told_at_once(server) -> None:
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
