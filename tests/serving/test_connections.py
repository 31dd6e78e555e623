"""Connections without a whole request, over real sockets: they are closed in time, and keep nobody else out."""

from __future__ import annotations

import http.client
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from live_server import Live, live, post, until
from random_model import random_model
from uvicorn.protocols.http.h11_impl import H11Protocol

from ncf.api import formats, limits
from ncf.api.requests import AnyForm
from ncf.serving import connections, invocations
from ncf.serving.connections import most_connections

MODEL = random_model()
PING = b"GET /ping HTTP/1.1\r\nhost: test\r\n\r\n"
HALF_HEAD = b"POST /invocations HTTP/1.1\r\nhost: test\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
HALF_BODY = post(b'{"item": "i1"}')[:-1]


def head_of(headers: bytes) -> bytes:
    return b"POST /invocations HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n" + headers + b"\r\n"


@pytest.fixture
def limit() -> int:
    return limits.MAX_CONNECTIONS


@pytest.fixture
def server(limit: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", limit)
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    with live(MODEL) as running:
        yield running


def everything(client: socket.socket) -> bytes:
    """The bytes that the server sends until it closes the connection."""
    content = b""
    while piece := client.recv(1 << 16):
        content += piece
    client.close()
    return content


@pytest.mark.parametrize("sent", [b"", b"P", HALF_HEAD], ids=["nothing", "letter", "half a head"])
def test_a_connection_without_a_request_is_closed(server, sent) -> None:
    start = time.monotonic()
    assert everything(server.client(sent)) == b""
    assert 0.2 < time.monotonic() - start < 10


def test_a_head_that_arrives_byte_by_byte_has_to_be_whole_in_time(server) -> None:
    client = server.client(b"")
    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        for byte in HALF_HEAD * 3:
            client.sendall(bytes([byte]))
            time.sleep(0.02)
    client.close()


def test_a_second_head_has_to_be_whole_in_time_too(server) -> None:
    assert everything(server.client(PING + HALF_HEAD)).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("path", ["/ping", "/nowhere", "/metrics"])
def test_a_body_that_no_answer_waits_for_has_to_arrive_in_time(server, path, monkeypatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(connections, "_GRACE_SECONDS", 0.1)
    client = server.client(f"GET {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n".encode())
    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        for _ in range(100):
            client.sendall(b"x")
            time.sleep(0.05)
    client.close()


def test_a_connection_in_use_stays_open(server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    start = time.monotonic()
    for _ in range(8):
        connection.request("GET", "/ping")
        first = connection.sock
        assert connection.getresponse().read()
        time.sleep(0.1)
    assert time.monotonic() - start > 2 * limits.HEAD_SECONDS
    assert connection.sock is first is not None
    connection.close()


@pytest.mark.parametrize("limit", [6])
@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY], ids=["nothing", "half a head", "half a body"])
def test_others_are_answered_while_there_are_too_many_connections(server, sent, monkeypatch) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 30.0)
    idle = [server.client(sent) for _ in range(30)]
    assert server.client(PING).recv(1000).startswith(b"HTTP/1.1 200")
    assert server.ask(b'{"users": ["u1"]}')[0] == 200
    assert len(server.server.server_state.connections) < 6
    for client in idle:
        client.close()


def test_a_client_that_sends_much_at_once_leaves_others_their_turn(server, monkeypatch) -> None:
    sizes, original = [], H11Protocol.data_received

    def received(self: H11Protocol, data: bytes) -> None:
        sizes.append(len(data))
        original(self, data)

    monkeypatch.setattr(H11Protocol, "data_received", received)
    tiny = b"1\r\n \r\n" * 50_000 + b"0\r\n\r\n"
    answer = everything(server.client(head_of(CHUNKED + b"connection: close\r\n") + tiny))
    assert answer.startswith(b"HTTP/1.1 400")
    assert sum(sizes) > len(tiny)
    assert max(sizes) <= 1 << 13


@pytest.mark.parametrize("limit", [3])
def test_half_a_body_gives_way_last(server, monkeypatch) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 30.0)
    client = server.client(HALF_BODY)
    until(lambda: server.metric("ncf_requests_in_flight") == 1)
    idle = [server.client(b"") for _ in range(10)]
    client.sendall(b"}")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    for connection in (client, *idle):
        connection.close()


def test_the_process_may_open_a_file_for_each_connection() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 2 * limits.MAX_CONNECTIONS:
        pytest.skip(f"the hard limit on open files is {before[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits.MAX_CONNECTIONS // 2, before[1]))
    try:
        assert most_connections() == limits.MAX_CONNECTIONS < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_at_the_end_clients_that_send_or_read_no_more_are_left_without_a_traceback(caplog, monkeypatch) -> None:
    from ncf.serving import server as http_server

    monkeypatch.setattr(connections, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(http_server, "_SECONDS_TO_FINISH", 0.5)
    many = b'{"users": [' + b",".join([b'"u1"'] * 100) + b'], "k": 1000}'
    with caplog.at_level(logging.ERROR), live(random_model(n_items=2000)) as server:
        clients = [
            server.client(HALF_BODY),
            server.client(HALF_HEAD),
            server.client(post(many), receive_buffer=1 << 12),
        ]
        until(lambda: server.metric("ncf_unread_bytes") > 0)
        until(lambda: server.metric("ncf_requests_in_flight") == 2)
    assert "Traceback" not in caplog.text
    assert server.server.server_state.tasks == set()
    for client in clients:
        client.close()


BODY = b'{"users": ["u1"]}'
IN_CHUNKS = b"11\r\n" + BODY + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("version", "headers", "body"),
    [
        (b"1.1", b"content-length: 17\r\n" + CHUNKED, IN_CHUNKS),
        (b"1.1", CHUNKED + b"content-length: 4\r\n", IN_CHUNKS),
        (b"1.1", b"content-length: 17\r\ncontent-length: 4\r\n", BODY),
        (b"1.1", b"content-length: 17, 4\r\n", BODY),
        (b"1.1", b"content-length: +17\r\n", BODY),
        (b"1.0", CHUNKED, IN_CHUNKS),
    ],
    ids=["both", "both reversed", "two lengths", "list of lengths", "sign", "HTTP/1.0"],
)
def test_a_request_with_an_ambiguous_end_is_refused_and_its_connection_closed(server, version, headers, body) -> None:
    head = b"POST /invocations HTTP/" + version + b"\r\nhost: test\r\ncontent-type: application/json\r\n"
    answer = everything(server.client(head + headers + b"\r\n" + body + PING))
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1, "the rest is no request"


def test_large_bodies_are_read_one_at_a_time_outside_the_event_loop(server, monkeypatch) -> None:
    """The parser holds the interpreter's lock."""
    reading, most = [0], [0]

    def read(body: bytes, media: str) -> list[AnyForm]:
        reading[0] += 1
        most.append(reading[0])
        held.wait(30)
        reading[0] -= 1
        return formats.read_requests(body, media)

    held = threading.Event()
    monkeypatch.setattr(invocations, "read_requests", read)
    body = post(b'{"users": ["u1"]' + b" " * 70_000 + b"}")
    clients = [server.client(body) for _ in range(6)]
    until(lambda: server.metric("ncf_requests_in_flight") == 6)
    until(lambda: len(most) > 1)
    assert server.client(PING).recv(1000).startswith(b"HTTP/1.1 200")
    held.set()
    assert all(client.recv(1000).startswith(b"HTTP/1.1 200") for client in clients)
    assert max(most) == 1
    for client in clients:
        client.close()


def test_a_malformed_body_behind_the_start_of_an_answer_ends_the_connection(server, caplog) -> None:
    head = b"POST /invocations HTTP/1.1\r\nhost: test\r\ncontent-type: text/plain\r\n" + CHUNKED + b"\r\n"
    client = server.client(head)
    assert client.recv(1000).startswith(b"HTTP/1.1 415")
    client.sendall(b"no size\r\n")
    until(lambda: not server.server.server_state.connections)
    client.close()
    assert "Traceback" not in caplog.text
