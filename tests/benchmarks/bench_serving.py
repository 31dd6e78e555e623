"""Requests a second and latency of the endpoint: the real server in a process of its own, on loopback."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.random_model import random_model

ROOT = Path(__file__).parents[2]

N_USERS, N_ITEMS = 6040, 3706  # MovieLens 1M
PAPER = {"factors": 32, "tower": (256, 128, 64, 32), "positives": 165}
SECONDS_A_CASE = 4.0
REQUESTS_A_CASE = 4000
SECONDS_TO_START = 60.0
# clients that each wait for their answer before they ask again, users in a request, items for each
CASES = [(1, 1, 10), (2, 1, 10), (8, 1, 10), (1, 100, 10), (1, 1, 1000)]


@contextmanager
def served(root: Path) -> Iterator[tuple[int, float]]:
    """The server on a free port, and the seconds from its start until /ping answered with 200."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "NCF_ML_ROOT": str(root), "NCF_PORT": str(port)}
    program = [sys.executable, str(ROOT / "images" / "deploy" / "serve")]
    start = time.perf_counter()
    server = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_ready(port):
            if server.poll() is not None or time.perf_counter() - start > SECONDS_TO_START:
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        yield port, time.perf_counter() - start
    finally:
        server.terminate()
        server.wait(30)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def ask(port: int, users: int, k: int, requests: int, seconds: list[float], deadline: float) -> None:
    """One client: requests of random users over one connection; the time of each goes into ``seconds``."""
    rng = np.random.default_rng()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(requests):
        ids = [f"u{user}" for user in rng.integers(0, N_USERS, users)]
        body = json.dumps({"users": ids, "k": k})
        start = time.perf_counter()
        if start > deadline:
            break
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        seconds.append(time.perf_counter() - start)
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {content[:200]!r}")
    connection.close()


def measure(port: int, clients: int, users: int, k: int) -> dict[str, Any]:
    ask(port, users, k, 5, [], time.perf_counter() + SECONDS_A_CASE)  # warm up
    seconds: list[float] = []
    start = time.perf_counter()
    each = (port, users, k, REQUESTS_A_CASE // clients, seconds, start + SECONDS_A_CASE)
    threads = [threading.Thread(target=ask, args=each) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    p50, p90, p99 = np.percentile(np.array(seconds) * 1000, [50, 90, 99]).tolist()
    return {
        "clients": clients,
        "users": users,
        "k": k,
        "requests": len(seconds),
        "requests_per_second": len(seconds) / elapsed,
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
    }


def run() -> list[dict[str, Any]]:
    """A row for each model and case; ``start_seconds`` is from the start of the process to the first 200."""
    rows = []
    for name in ("neumf", "gmf"):
        with tempfile.TemporaryDirectory() as folder:
            random_model(name, N_USERS, N_ITEMS, **PAPER).save(Path(folder) / "model", {}, {})
            with served(Path(folder)) as (port, start_seconds):
                rows += [{"model": name, "start_seconds": start_seconds, **measure(port, *case)} for case in CASES]
    return rows
