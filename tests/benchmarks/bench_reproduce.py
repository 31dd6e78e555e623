"""NDCG@10 of each model over the whole catalogue and by the published protocol: mean and deviation over seeds.

``make reproduce DATA=folder [SEEDS=5]``. DATA holds an NCF release's files (``*.train.rating``, ``*.test.rating``,
``*.test.negative``), whose candidates are the published ones, or other interactions, plain or compressed. Settings are
those of settings.json, chosen on validation items drawn from the training data; epochs are too; the final fit takes all
training data, and the test items are ranked once. The last columns are the report's best baseline and the ratio to it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_BASELINES = ("popularity", "item_knn", "ease")
SETTINGS = Path(__file__).with_name("settings.json")


def run() -> list[dict[str, Any]]:
    """A row for each model."""
    data, seeds = os.environ.get("DATA", ""), int(os.environ.get("SEEDS") or 5)
    if not Path(data).exists():
        sys.exit(f"DATA is '{data}': expected an NCF release or other interactions, a file or a folder")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outputs = [f"--{output}={folder / output}" for output in ("dataset", "report", "metrics")]
        _ncf("preprocess", f"--interactions={data}", *outputs)
        _ncf("negative-sampling", f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}")
        for model, settings in json.loads(SETTINGS.read_text()).items():
            found = [_one(folder, {**settings, "seed": seed}) for seed in range(1, seeds + 1)]
            row: dict[str, Any] = {"model": model, "seeds": seeds}
            for metric in ("full_ndcg_at_10", "hr_at_10", "ndcg_at_10"):
                values = [entry[metric] for entry in found]
                spread = statistics.stdev(values) if seeds > 1 else 0.0
                row[metric] = f"{statistics.fmean(values):.4f} ± {spread:.4f}"
            best = max(
                found[0][f"{name}_full_ndcg_at_10"] for name in _BASELINES if f"{name}_full_ndcg_at_10" in found[0]
            )
            ratio = statistics.fmean(entry["full_ndcg_at_10"] for entry in found) / best
            row |= {"best baseline": f"{best:.4f}", "ratio": f"{ratio:.2f}"}
            rows.append({**row, "seconds": statistics.fmean(entry["seconds"] for entry in found)})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _one(folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    flags = [
        f"--{name.replace('_', '-')}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in settings.items()
    ]
    inputs = [f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}"]
    started = time.monotonic()
    _ncf("fit", *inputs, f"--trained-model={folder / 'model'}", f"--metrics={folder / 'fit'}", *flags)
    seconds = time.monotonic() - started
    outputs = [f"--{output}={folder / output}" for output in ("report", "summary", "passed")]
    evaluated = [f"--model={folder / 'model'}", f"--samples={folder / 'samples'}", f"--metrics={folder / 'evaluated'}"]
    _ncf("evaluate", *evaluated, *outputs, "--max-eval-users=1000000", "--bootstrap-resamples=100")
    return {**json.loads((folder / "evaluated").read_text()), "seconds": seconds}


def _ncf(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "ncf", *arguments], check=True, stderr=subprocess.DEVNULL)
