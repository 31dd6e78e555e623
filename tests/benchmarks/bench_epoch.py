"""An epoch of `history` beside one of GMF and of NeuMF, each trained by torch and, where it can, by the compiled step.

``make bench-epoch DATA=interactions or an NCF release``. "Same size" means: the same training and validation positives
and 64 factors, batches and samples by default. They are not the same work: GMF has a table of users, too, and takes each
positive with four negatives of its own; `history` takes at most 100 positives of a user, and each with the 4,096
negatives of its step. One thread; "core s" are seconds of the processor, which other processes change little. "Paper" is
the architecture of He et al.: 32 factors, tower 256-128-64-32.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_reproduce import _ncf

PAPER = {"model": "neumf", "factors": 32, "tower": [256, 128, 64, 32]}
CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("GMF", {"model": "gmf"}, True),
    ("GMF", {"model": "gmf"}, False),
    ("history", {"model": "history"}, False),
    ("NeuMF, paper", PAPER, True),
    ("NeuMF, paper", PAPER, False),
]
"""Name, hyperparameters, and whether the compiled step trains it."""


def run() -> list[dict[str, Any]]:
    """A row for each model and what trains it; ``ratio`` is to the first row of GMF, in this run."""
    data = os.environ.get("DATA", "")
    if not Path(data).exists():
        sys.exit(f"DATA is '{data}': expected interactions or an NCF release, a file or a folder")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outputs = [f"--{output}={folder / output}" for output in ("dataset", "report", "metrics")]
        _ncf("preprocess", f"--interactions={data}", *outputs)
        _ncf("negative-sampling", f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}")
        for model, settings, is_compiled in CASES:
            epoch = _epoch(folder, settings, is_compiled)
            first = rows[0]["core s"] if rows else epoch["core s"]
            trained_by = "compiled step" if is_compiled else "torch"
            rows.append({"model": model, "trained by": trained_by, **epoch, "ratio": epoch["core s"] / first})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _epoch(folder: Path, settings: dict[str, Any], is_compiled: bool) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", __name__, str(folder), json.dumps(settings), json.dumps(is_compiled)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def _measure(folder: Path, settings: dict[str, Any], is_compiled: bool) -> dict[str, Any]:
    """The second epoch of the fit on training and validation positives: in the first, memory is still being mapped."""
    from ncf.training import cpu

    cpu.prepare()
    from ncf.artifacts.dataset import Dataset
    from ncf.artifacts.samples import Samples
    from ncf.training.distributed import process_group
    from ncf.training.hyperparameters import Hyperparameters
    from ncf.training.kernel import structures
    from ncf.training.trainer import Trainer, _Silent

    if not is_compiled:
        structures.library = lambda: None  # type: ignore[assignment]
    elif structures.library() is None:
        sys.exit("the compiled step is missing: make setup compiles it")
    with process_group("cpu", threads=1) as world:
        dataset, samples = Dataset.load(folder / "dataset"), Samples.load(folder / "samples")
        loop = Trainer(dataset, samples, Hyperparameters(**settings), world)._loop("final")
        for _ in range(2):
            start = time.process_time()
            loop.run_epoch(lambda: False, _Silent())
            seconds = time.process_time() - start
        schedule = loop.schedule
        return {
            "positives": schedule.samples_per_epoch // schedule.samples_per_positive,
            "steps": schedule.steps_per_epoch,
            "core s": seconds,
        }


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3]))))
