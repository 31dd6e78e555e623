"""Training samples a second at the size of MovieLens 1M, on one core and on two, in one process and in two."""

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
LARGE_BATCHES = (65_536, 131_072, 262_144)  # of which two processes each do their part
CASES = [("neumf", "default", ()), ("neumf", "paper", PAPER), ("gmf", "default", ()), ("gmf", "paper", PAPER)]


def run() -> list[dict[str, Any]]:
    """A row for each model, architecture and number of cores; ``ratio`` is to one core, in this run."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic.write(folder, USERS, ITEMS, INTERACTIONS)
        outputs = [f"--{output}={folder / output}" for output in ("dataset", "report", "metrics")]
        _ncf("preprocess", f"--interactions={folder / 'interactions.csv'}", *outputs)
        _ncf("negative-sampling", f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}")
        for batch in LARGE_BATCHES:
            large = (*PAPER, f"--batch-size={batch}")
            one = _samples_per_second(folder, "neumf", large, 1)
            two = _samples_per_second(folder, "neumf", (*large, "--processes-per-host=2"), 2)
            for name, cores, rate in (("1 process", 1, one), ("2 processes", 2, two)):
                rows.append(_row("neumf", f"paper, batch {batch:,}, {name}", cores, rate, one))
        for model, architecture, settings in CASES:
            rates = {cores: _samples_per_second(folder, model, settings, cores) for cores in (1, 2)}
            rows += [_row(model, architecture, cores, rate, rates[1]) for cores, rate in rates.items()]
    return rows


def _row(model: str, architecture: str, cores: int, rate: float, rate_of_one: float) -> dict[str, Any]:
    return {
        "model": model,
        "architecture": architecture,
        "cores": cores,
        "k_samples_per_second": rate / 1000,
        "ratio": rate / rate_of_one,
    }


def _samples_per_second(folder: Path, model: str, settings: tuple[str, ...], cores: int) -> float:
    inputs = [f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}"]
    outputs = [f"--trained-model={folder / 'model'}", f"--metrics={folder / 'fit.json'}"]
    _ncf("fit", *inputs, *outputs, f"--model={model}", "--epochs=2", *settings, cores=cores)
    rate: float = json.loads((folder / "fit.json").read_text())["samples_per_second"]
    return rate


def _ncf(*arguments: str, cores: int = 0) -> None:
    """Run a command, on its first ``cores`` cores if given: training takes as many threads as it has cores."""
    allowed = sorted(os.sched_getaffinity(0))[: cores or None]
    subprocess.run(
        [sys.executable, "-m", "ncf", *arguments],
        check=True,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
