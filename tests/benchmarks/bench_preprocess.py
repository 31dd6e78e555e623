"""Seconds and peak memory of preprocess, from 1 M to 20 M rows of CSV, in a process of its own each."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

SIZES = (1_000_000, 5_000_000, 20_000_000)
USERS, ITEMS = 138_000, 27_000  # MovieLens 20M
ROWS_AT_ONCE = 1_000_000
_SECONDS_A_YEAR = 365 * 24 * 3600


def write_rows(path: Path, rows: int) -> None:
    """userId,movieId,rating,timestamp: long tails, in random order, which is hardest to number."""
    rng = np.random.default_rng(rows)
    with path.open("wb") as stream:
        for start in range(0, rows, ROWS_AT_ONCE):
            n = min(ROWS_AT_ONCE, rows - start)
            table = pa.table(
                {
                    "userId": (USERS * rng.random(n) ** 2).astype(np.int32) + 1,
                    "movieId": (ITEMS * rng.random(n) ** 3).astype(np.int32) * 5 + 1,
                    "rating": rng.integers(1, 11, n) / 2,
                    "timestamp": 1_000_000_000 + rng.integers(0, 20 * _SECONDS_A_YEAR, n),
                }
            )
            csv.write_csv(table, stream, csv.WriteOptions(include_header=start == 0))


def measure(interactions: Path, output: Path) -> tuple[float, float]:
    """Seconds and peak resident GB of one run of the command."""
    outputs = [f"--{name}={output / name}" for name in ("dataset", "report", "metrics")]
    command = [sys.executable, "-m", "ncf", "preprocess", f"--interactions={interactions}", *outputs]
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"preprocess ended with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def run() -> list[dict[str, Any]]:
    """A row for each size."""
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ratings.csv"
            write_rows(path, size)
            seconds, peak = measure(path, Path(folder) / "output")
            rows.append(
                {
                    "rows": size,
                    "megabytes": path.stat().st_size / 1e6,
                    "seconds": seconds,
                    "rows_per_second": size / seconds,
                    "peak_gb": peak,
                }
            )
    return rows
