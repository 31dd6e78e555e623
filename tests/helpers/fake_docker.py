"""A Docker engine without Docker: the command ``docker``, and the engine's API for what a registry holds."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from images import engine

CLASSIC_STORE = [["Backing Filesystem", "extfs"], ["Native Overlay Diff", "true"]]
CONTAINERD_STORE = [["driver-type", "io.containerd.snapshotter.v1"]]
_COMMAND = """#!/bin/sh
echo "$DOCKER_BUILDKIT $*" >>"$(dirname "$0")/asked"
case "$1 $2" in
"buildx version") exit {without_buildx};;
"info --format") echo '{store}';;
"context inspect") echo "$FAKE_ENGINE";;
"image inspect") echo '[{{"Size": 1}}]';;
"push "*) if [ -n "$FAKE_REFUSAL" ]; then echo "$FAKE_REFUSAL" >&2; exit 1; fi;;
esac
"""


class FakeDocker:
    """What a test sets and looks at.

    Attributes:
        held: answer of the registry; empty for an image that it does not have.
        inspected: images that the registry was asked about.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.held: dict[str, Any] = {}
        self.inspected: list[str] = []

    def install(self, patch: pytest.MonkeyPatch, store: Any, has_buildx: bool) -> None:
        command = self._folder / "docker"
        command.write_text(_COMMAND.format(without_buildx=int(not has_buildx), store=json.dumps(store)))
        command.chmod(0o755)
        patch.setenv("PATH", f"{self._folder}:{os.environ['PATH']}")
        patch.delenv("DOCKER_HOST", raising=False)
        patch.setenv("DOCKER_CONFIG", str(self._folder))
        patch.setenv("NO_PROXY", "*")
        engine.builder.cache_clear()

    def commands(self, name: str) -> list[str]:
        """Commands of a name, after the value of DOCKER_BUILDKIT."""
        lines = (self._folder / "asked").read_text().splitlines()
        return [line for line in lines if line.partition(" ")[2].startswith(f"{name} ")]

    @contextmanager
    def api(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """The engine's API."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = unquote(self.path)
                answer: dict[str, Any] = {"ApiVersion": "1.46"}
                if "/distribution/" in path:
                    fake.inspected.append(path.partition("/distribution/")[2].removesuffix("/json"))
                    answer = fake.held
                content = json.dumps(answer or {"message": "manifest unknown"}).encode()
                self.send_response(200 if answer else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        patch.setenv("FAKE_ENGINE", f"tcp://127.0.0.1:{server.server_port}")
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            engine.builder.cache_clear()
