"""``/healthz`` says whether the watcher still looks for messages."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from ncf.watching.health import SILENT_SECONDS, Health, serving


def status(port: int, path: str = "/healthz") -> tuple[int, float]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())["seconds_since_last_poll"]
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["seconds_since_last_poll"]


def test_health_ends_with_silence_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    health = Health(lambda: now[0])
    with serving(health, 0, "127.0.0.1") as port:
        assert status(port) == (200, 0.0)
        now[0] += SILENT_SECONDS
        assert status(port) == (200, 300.0)
        now[0] += 1
        assert status(port) == (503, 301.0)
        health.beat()
        assert status(port) == (200, 0.0)
        assert status(port, "/")[0] == 404
