"""A hundred models of 10,000 items in one server: memory, and latency beside a server of one of them."""

from __future__ import annotations

import http.client
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import open_loop
from tests.benchmarks.bench_serving import bodies, cores, cpu_seconds, served
from tests.helpers.random_model import random_model

MODELS, N_USERS, N_ITEMS = 100, 10_000, 10_000
FACTORS, POSITIVES, HISTORY = 64, 40, 50
RATE, SECONDS, ROUNDS = 100, 6.0, 3


def send(port: int, method: str, path: str, body: Any = None) -> None:
    """
    Raises:
        RuntimeError: if the answer is not 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, json.dumps(body) if body else None)
        if (response := connection.getresponse()).status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {response.read()[:200]!r}")
    finally:
        connection.close()


def megabytes(process: int) -> tuple[int, int]:
    """Resident memory, and the part of it that is no mapped file."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    resident, anonymous = (int(values[name].split()[0]) // 1000 for name in ("VmRSS", "RssAnon"))
    return resident, anonymous


def run() -> list[dict[str, Any]]:
    """A row for each number of models, with their memory; the latencies of the last one are ratios to a single model's.

    The models' files are links to the same files, which each model maps on its own.
    """
    rows = []
    server_core, load_core = cores()
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {load_core})
    names = [f"m{number}" for number in range(MODELS)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            one, several = Path(folder) / "one", Path(folder) / "several"
            model = random_model(
                "history", N_USERS, N_ITEMS, factors=FACTORS, positives=POSITIVES, history=HISTORY, titles=True
            )
            model.save(one / "model", {}, {})
            for name in names:
                _link(one / "model", several / "models" / name / "model")
            with (
                served("ncf", one, server_core) as (other, single, _),
                served("ncf", several, server_core, SAGEMAKER_MULTI_MODEL="true") as (process, port, _),
            ):
                for count in (0, 1, MODELS):
                    loaded = rows[-1]["models"] if rows else 0
                    start = time.perf_counter()
                    for name in names[loaded:count]:
                        url = str(several / "models" / name / "model")
                        send(port, "POST", "/models", {"model_name": name, "url": url})
                    rows.append(_row(count, process, (time.perf_counter() - start) / max(count - loaded, 1)))
                rows[-1] |= _ratios((other, single), (process, port), names)
                for name in names:
                    send(port, "DELETE", f"/models/{name}")
                rows.append(_row(0, process, 0.0))
    finally:
        os.sched_setaffinity(0, everywhere)
    return [{**dict.fromkeys(rows[2], ""), **row} for row in rows]


def _link(model: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in model.iterdir():
        os.link(path, folder / path.name)


def _row(count: int, process: int, load_seconds: float) -> dict[str, Any]:
    resident, anonymous = megabytes(process)
    return {"models": count, "MB": resident, "MB_not_mapped": anonymous, "load_s": load_seconds}


def _ratios(one: tuple[int, int], several: tuple[int, int], names: list[str]) -> dict[str, Any]:
    """Latency and processor time over all models in turn, by those of a single model: medians of rounds in turns.

    Args:
        one: process and port of the server of a single model.
        several: those of the server of all.
        names: of the models.
    """
    paths = {one: ["/invocations"], several: [f"/models/{name}/invoke" for name in names]}
    found: dict[tuple[int, int], list[tuple[float, float, float]]] = {one: [], several: []}
    errors, sent = 0, int(RATE * SECONDS)
    for round_ in range(ROUNDS):
        for server, its in paths.items():
            begin = cpu_seconds(server[0])
            result = open_loop.run(server[1], bodies(sent, round_, N_USERS), RATE, its)
            errors += result.errors
            used = (cpu_seconds(server[0]) - begin) / sent * 1000
            found[server].append((result.percentile(50), result.percentile(99), used))
    single, shared = (np.median(found[server], axis=0) for server in (one, several))
    p50, p99, cpu = (shared / single).tolist()
    return {
        "requests/s": RATE,
        "errors": errors,
        "p50_by_single": p50,
        "p99_by_single": p99,
        "cpu_by_single": cpu,
        "cpu_ms_single": float(single[2]),
    }
