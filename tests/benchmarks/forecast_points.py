"""Measurement of a forecast's points: seconds of all cores and peak memory of each stage, at some sizes of data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPEATS = 2
"""Runs of a stage, of which the shortest counts: other processes take part of the caches of a core."""
_SHORT_SECONDS = 3.0
_MODULE = "tests.benchmarks.forecast_points"
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Data:
    """Data of a point.

    Attributes:
        name: of the point.
        rows, users, items: of generated data.
        is_text: whether these are CSV, else parquet.
        path: of real data; '' for generated data.
        fits: hyperparameters of the fits that are measured, the first of which is evaluated.
    """

    name: str
    rows: int = 0
    users: int = 0
    items: int = 0
    is_text: bool = False
    path: str = ""
    fits: tuple[Mapping[str, Any], ...] = ({"epochs": 1},)


def measured(data: Data) -> dict[str, Any]:
    """Size of the data and what each stage took."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SCALE_FOLDER")) as name:
        folder = Path(name)
        raw = Path(data.path) if data.path else folder / "raw"
        if not data.path:
            words = map(str, (raw, data.users, data.items, data.rows, int(data.is_text)))
            subprocess.run([sys.executable, "-m", _MODULE, *words], check=True)
        point: dict[str, Any] = {"name": data.name, "stages": {}}
        stages, inputs = point["stages"], [f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}"]
        outputs = _outputs(folder, "dataset", "report", "metrics")
        stages["preprocess"] = _run(["preprocess", f"--interactions={raw}", *outputs])
        stages["negative_sampling"] = _run(["negative-sampling", *inputs])
        point["size"] = _size(folder / "dataset")
        point["fits"] = []
        for number, settings in enumerate(data.fits):
            model, arguments = (
                folder / f"model{number}",
                [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()],
            )
            outputs = [f"--trained-model={model}", f"--metrics={folder / 'fit.json'}"]
            took = _run(["fit", *inputs, *outputs, *arguments, "--threads=1"])
            point["fits"].append({"settings": dict(settings), "epochs": _epochs(model), **took})
        outputs = _outputs(folder, "metrics", "report", "summary", "passed", "diff")
        stages["evaluate"] = _run(["evaluate", f"--model={folder / 'model0'}", inputs[1], *outputs])
        return point


def _size(folder: Path) -> dict[str, Any]:
    words = "import json,sys; from dataclasses import asdict; from pathlib import Path; from ncf.forecast.size import size_of_folder; print(json.dumps(asdict(size_of_folder(Path(sys.argv[1])))))"
    found = subprocess.run([sys.executable, "-c", words, str(folder)], check=True, capture_output=True, text=True)
    return dict(json.loads(found.stdout))


def _epochs(model: Path) -> list[int]:
    history = json.loads((model / "history.json").read_text())
    return [len(history[fit]) for fit in ("selection", "final", "hosted")]


def _outputs(folder: Path, *names: str) -> list[str]:
    return [f"--{name}={folder / name}" for name in names]


def _run(command: list[str]) -> dict[str, float]:
    """Least seconds of all cores and largest peak memory, bytes, of some runs of ``ncf``."""
    runs = [_once(command)]
    while len(runs) < REPEATS and runs[0]["cpu_seconds"] < _SHORT_SECONDS:
        runs.append(_once(command))
    print(" ".join(command[:1]), runs, file=sys.stderr, flush=True)
    return {
        "cpu_seconds": round(min(run["cpu_seconds"] for run in runs), 3),
        "peak_bytes": max(run["peak_bytes"] for run in runs),
    }


def _once(command: list[str]) -> dict[str, float]:
    environment = {**os.environ, **_ONE_THREAD}
    process = subprocess.Popen(
        [sys.executable, "-m", "ncf", *command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}: {errors[-2000:]!r}")
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}


def _generate(folder: str, users: str, items: str, rows: str, is_text: str) -> None:
    from tests.helpers.synthetic_large import write_parquet

    write_parquet(Path(folder), int(users), int(items), int(rows))
    if int(is_text):
        from pyarrow import csv, parquet

        for path in Path(folder).glob("*.parquet"):
            csv.write_csv(parquet.read_table(path), path.with_suffix(".csv"))
            path.unlink()


if __name__ == "__main__":
    _generate(*sys.argv[1:])
