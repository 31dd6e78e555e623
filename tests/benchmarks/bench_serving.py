"""Latency of the endpoint at constant rates: the real server on one core, the load from another, on loopback."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import open_loop
from tests.helpers.random_model import random_model

ROOT = Path(__file__).parents[2]

N_USERS, N_ITEMS = 6040, 3706  # MovieLens 1M
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "default": {"factors": 64, "tower": (64, 32, 16)},
    "paper": {"factors": 32, "tower": (256, 128, 64, 32)},
}
POSITIVES = 165
SECONDS_A_CASE = 8.0
SECONDS_TO_START = 60.0
# server, architecture, requests a second
CASES = [
    ("ncf", "default", (100, 200, 400, 800)),
    ("ncf", "paper", (100, 200, 400)),
    ("torch", "default", (50, 100, 200)),
    ("torch", "paper", (10, 20, 50)),
]


def cores() -> tuple[int, int]:
    """A core for the server and another one for the load."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise RuntimeError("two cores are needed, one for the server and one for the load")
    return available[0], available[-1]


@contextmanager
def served(kind: str, root: Path, core: int, **variables: str) -> Iterator[tuple[int, int, float]]:
    """A server pinned to one core: its process, its free port, and the seconds from its start until /ping answered with 200."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "NCF_ML_ROOT": str(root), "NCF_PORT": str(port), "OMP_NUM_THREADS": "1", **variables}
    program = {
        "ncf": [sys.executable, str(ROOT / "images" / "deploy" / "serve")],
        "torch": [sys.executable, "-m", "tests.benchmarks.torch_program", str(root / "model"), str(port)],
    }[kind]
    start = time.perf_counter()
    server = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), *program],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not is_ready(port):
            if server.poll() is not None or time.perf_counter() - start > SECONDS_TO_START:
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        yield server.pid, port, time.perf_counter() - start
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


def cpu_seconds(process: int) -> float:
    """Time that a process has had a core, on which other load on the machine has little influence."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bodies(count: int, seed: int, n_users: int = N_USERS) -> list[bytes]:
    """Requests for ten unseen items of one random user each."""
    users = np.random.default_rng(seed).integers(0, n_users, count)
    return [json.dumps({"users": [f"u{user}"], "k": 10}).encode() for user in users.tolist()]


def run() -> list[dict[str, Any]]:
    """A row for each server and rate.

    ``start_s`` is from the start of the process to the first 200 of /ping, ``cpu_ms`` the server's own time a request.
    """
    rows = []
    server_core, load_core = cores()
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {load_core})
    try:
        for kind, architecture, rates in CASES:
            with tempfile.TemporaryDirectory() as folder:
                model = random_model("neumf", N_USERS, N_ITEMS, positives=POSITIVES, **ARCHITECTURES[architecture])
                model.save(Path(folder) / "model", {}, {})
                with served(kind, Path(folder), server_core) as (process, port, start_seconds):
                    open_loop.run(port, bodies(50, seed=0), 50)  # warm up
                    for rate in rates:
                        sent = int(rate * SECONDS_A_CASE)
                        begin = cpu_seconds(process)
                        result = open_loop.run(port, bodies(sent, seed=rate), rate)
                        rows.append(
                            {
                                "server": kind,
                                "NeuMF": architecture,
                                "start_s": start_seconds,
                                "requests/s": rate,
                                "sent": sent,
                                "errors": result.errors,
                                "p50_ms": result.percentile(50),
                                "p99_ms": result.percentile(99),
                                "p99.9_ms": result.percentile(99.9),
                                "cpu_ms": (cpu_seconds(process) - begin) / sent * 1000,
                            }
                        )
    finally:
        os.sched_setaffinity(0, everywhere)
    return rows
