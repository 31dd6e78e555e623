"""Seconds and peak memory of monitoring a day of captured requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

USERS, ITEMS, LIST = 138_000, 27_000, 10  # MovieLens 20M
DEFAULT = "100000,1000000"
HOURS = 24
_PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from captured import START, window
from ncf.monitoring.clusters import UserNumbers
from ncf.monitoring.files import captured_lines
from ncf.monitoring.findings import findings
from ncf.monitoring.observation import Observation
from ncf.monitoring.population import Population
from ncf.monitoring.service import Service
from ncf.monitoring.settings import Limits
users, items = ({{f"{{kind}}{{number}}": number for number in range(n)}} for kind, n in (("u", {users}), ("i", {items})))
ones = [np.full(len(ids), 5, np.int64) for ids in (users, items)]
population = Population.of(users, items, *ones)
observation = Observation(population, window(), UserNumbers(users))
observation.read(captured_lines(sys.argv[1], "shop", window()))
found = findings(observation, Service(), {{}}, {{}}, "training", Limits(), seed=0)
print(found.total.records, found.total.unreadable)
"""


def write_hours(folder: Path, records: int) -> int:
    """A file of records, linked for each hour; its bytes."""
    from captured import of_user

    rng = np.random.default_rng(records)
    n = -(-records // HOURS)
    first = folder / "records.jsonl"
    users = (USERS * 1.1 * rng.random(n) ** 2).astype(int)  # some are unknown
    items = (ITEMS * rng.random((n, LIST)) ** 2).astype(int)
    with first.open("w") as stream:
        for user, row in zip(users.tolist(), items.tolist(), strict=True):
            stream.write(json.dumps(of_user(f"u{user}", [f"i{item}" for item in row])) + "\n")
    for hour in range(HOURS):
        path = folder / "shop" / "AllTraffic" / f"2026/05/04/{hour:02d}"
        path.mkdir(parents=True)
        (path / "records.jsonl").symlink_to(first)
    return n * HOURS


def measure(folder: Path) -> tuple[float, float]:
    """Seconds and peak resident GB."""
    program = _PROGRAM.format(users=USERS, items=ITEMS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["tests/helpers", "."])}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"monitoring ended with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def run() -> list[dict[str, Any]]:
    """A row for each number of records."""
    sys.path.insert(0, "tests/helpers")
    rows = []
    for records in map(int, (os.environ.get("RECORDS") or DEFAULT).split(",")):
        with tempfile.TemporaryDirectory() as name:
            written = write_hours(Path(name), records)
            seconds, peak = measure(Path(name))
        rows.append({"records": written, "seconds": seconds, "records_per_second": written / seconds, "peak_gb": peak})
    return rows
