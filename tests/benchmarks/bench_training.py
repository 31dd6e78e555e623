"""Training samples a second at the size of MovieLens 1M, on one thread and on two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ncf.data import synthetic

USERS, ITEMS, INTERACTIONS = 6_040, 3_706, 1_000_000
PAPER = ("--factors=32", "--tower=[256,128,64,32]")
CASES = [("neumf", "default", ()), ("neumf", "paper", PAPER), ("gmf", "default", ()), ("gmf", "paper", PAPER)]


def run() -> list[dict[str, Any]]:
    """A row for each model, architecture and number of threads; ``ratio`` is to one thread, in this run."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic.write(folder, USERS, ITEMS, INTERACTIONS)
        outputs = [f"--{output}={folder / output}" for output in ("dataset", "report", "metrics")]
        _ncf("preprocess", f"--interactions={folder / 'interactions.csv'}", *outputs)
        _ncf("negative-sampling", f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}")
        for model, architecture, settings in CASES:
            rates = {threads: _samples_per_second(folder, model, settings, threads) for threads in (1, 2)}
            rows += [
                {
                    "model": model,
                    "architecture": architecture,
                    "threads": threads,
                    "k_samples_per_second": rate / 1000,
                    "ratio": rate / rates[1],
                }
                for threads, rate in rates.items()
            ]
    return rows


def _samples_per_second(folder: Path, model: str, settings: tuple[str, ...], threads: int) -> float:
    inputs = [f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}"]
    outputs = [f"--trained-model={folder / 'model'}", f"--metrics={folder / 'fit.json'}"]
    _ncf("fit", *inputs, *outputs, f"--model={model}", "--epochs=2", *settings, threads=threads)
    rate: float = json.loads((folder / "fit.json").read_text())["samples_per_second"]
    return rate


def _ncf(*arguments: str, threads: int = 0) -> None:
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    subprocess.run([sys.executable, "-m", "ncf", *arguments], check=True, env=environment, stderr=subprocess.DEVNULL)
