"""The server of the stand-in: JSON over HTTP, for callers of this machine with the token."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from components.local.kfp.api import KfpApi

_MAX_BYTES = 4 << 20


@contextmanager
def serving(api: KfpApi, token: str) -> Iterator[str]:
    """Answer requests with a bearer token for the time of the block.

    Args:
        api: answers.
        token: that each request must have.

    Yields:
        URL of the API.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def _handle(self) -> None:
            given = self.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                self._send(401, {"code": 16, "message": "the request has no valid token"})
                return
            try:
                length = min(int(self.headers.get("Content-Length") or 0), _MAX_BYTES)
                body = json.loads(self.rfile.read(length) or b"{}")
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                self._send(*api.answer(self.command, url.path, query, body))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                self._send(400, {"code": 3, "message": f"the request is invalid: {error!r}"})

        def _send(self, status: int, answer: object) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True, name="local KFP")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
