"""The real server over real sockets, in a thread of the test, so that the test can look at it and change its limits."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette

from ncf.artifacts.model_folder import ModelFolder
from ncf.serving.app import create_app
from ncf.serving.recommender import Recommender
from ncf.serving.server import listen, server_of

JSON, LINES = "application/json", "application/jsonlines"


@dataclass
class Live:
    """A server and what its clients do."""

    server: uvicorn.Server
    port: int

    def client(self, request: bytes, receive_buffer: int | None = None) -> socket.socket:
        """A client that has sent a request and reads nothing yet."""
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(30)
        client.connect(("127.0.0.1", self.port))
        client.sendall(request)
        return client

    def ask(self, body: bytes, **headers: str) -> tuple[int, Any]:
        return self.send("POST", "/invocations", body, **headers)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an answer; None for an empty one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"content-type": JSON, **headers})
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if content else None
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """A sample of /metrics; 0 where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def requests(self, form: str, status: int) -> float:
        return self.metric(f'ncf_requests_total{{form="{form}",status="{status}"}}')


def post(body: bytes, media: str = JSON) -> bytes:
    head = f"POST /invocations HTTP/1.1\r\nhost: test\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for what soon holds.

    Raises:
        AssertionError: if it does not.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "does not hold in time"
        time.sleep(0.02)


@contextmanager
def live(model: ModelFolder) -> Iterator[Live]:
    loading: Future[Recommender] = Future()
    loading.set_result(Recommender(model))
    with live_app(create_app(loading)) as found:
        yield found


@contextmanager
def live_app(app: Starlette) -> Iterator[Live]:
    server = server_of(app)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Live(server, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
