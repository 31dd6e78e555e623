"""Seconds of each stage of `make run`: as a process, and in a container of the images of this commit.

Medians of alternating runs. Needs Docker and `make images`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXECUTORS = ("process", "docker")
RUNS = 3


def run() -> list[dict[str, Any]]:
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(RUNS):
        for executor in EXECUTORS:
            for stage, measured in _seconds(executor).items():
                seconds.setdefault((stage, executor), []).append(measured)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    stages = [stage for stage, executor in median if executor == EXECUTORS[0]]
    return [
        {
            "stage": stage,
            **{f"{executor}, s": median[stage, executor] for executor in EXECUTORS},
            "overhead, s": median[stage, "docker"] - median[stage, "process"],
        }
        for stage in stages
    ]


def _seconds(executor: str) -> dict[str, float]:
    """Of each stage of one run, and of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        command = [sys.executable, "pipeline.py", "run", "--executor", executor, "--output", f"{folder}/run"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        whole = time.monotonic() - start
        stages = json.loads((Path(folder) / "run" / "summary.json").read_text())["stages"]
    return {stage["name"]: stage["seconds"] for stage in stages} | {"whole command": whole}
