"""A small data set and its samples, for tests of images: ``python -m tests.images.small_data FOLDER``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from ncf.data import synthetic


def prepare(folder: Path) -> None:
    """Write interactions, and what the first two stages make of them: ``dataset`` and ``samples``."""
    synthetic.write(folder, users=400, items=250, interactions=12_000, seed=5)
    others = [f"--report={folder}/report.html", f"--metrics={folder}/metrics.json"]
    for command in (
        ["preprocess", f"--interactions={folder}/interactions.csv", f"--dataset={folder}/dataset", *others],
        ["negative-sampling", f"--dataset={folder}/dataset", f"--samples={folder}/samples"],
    ):
        subprocess.run([sys.executable, "-m", "ncf", *command], check=True)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    prepare(target)
