"""Health of the watcher, for Kubernetes: whether it still looks for messages."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/healthz"
SILENT_SECONDS = 300.0
"""Seconds without an answer of the queue after which the watcher is not healthy."""


class Health:
    """When the watcher has last looked for messages, or ended one.

    Args:
        clock: seconds since any moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """The watcher is at work."""
        self._last = self._clock()

    @property
    def silent(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._last


@contextmanager
def serving(health: Health, port: int, address: str = "") -> Iterator[int]:
    """Answer ``/healthz`` for the time of the block: 200, or 503 after five minutes of silence.

    Args:
        health: of the watcher.
        port: to listen on; 0 for a free one.
        address: to listen on; '' for all.

    Yields:
        The port.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            silent = health.silent
            status = 404 if self.path != PATH else 503 if silent > SILENT_SECONDS else 200
            body = json.dumps({"seconds_since_last_poll": round(silent, 1)}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer((address, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True, name="health")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
