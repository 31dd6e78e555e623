"""Seconds and peak memory of each stage, from 1 M to 100 M interactions, in a process of its own each.

The environment variable ``SCALE`` names the sizes, in millions: ``SCALE=1,5,20,100``. A fit whose two epochs (one to
select, one final) would take longer than ``FIT_SECONDS`` is stopped by SIGTERM, as a spot instance is: then the seconds of an
epoch are extrapolated from the steps that it has done, and the model that is evaluated has random weights.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USERS_AND_ITEMS = {1: (7_000, 4_000), 5: (35_000, 12_000), 20: (138_000, 27_000), 100: (1_000_000, 200_000)}
"""By millions of interactions; with 20 they are MovieLens 20M's."""
DEFAULT_SIZES = "1,5,20"
FIT_SECONDS = float(os.environ.get("FIT_SECONDS") or 600)
_STOPPED = 143
_MODULE = "tests.benchmarks.bench_scale"


@dataclass(frozen=True)
class Run:
    """What a child process took: seconds by the clock and of all cores, and its largest resident memory in GB, mapped
    files included."""

    seconds: float
    cpu_seconds: float
    peak_gb: float
    status: int = 0


def run() -> list[dict[str, Any]]:
    """A row for each size and stage."""
    rows: list[dict[str, Any]] = []
    for size in map(int, (os.environ.get("SCALE") or DEFAULT_SIZES).split(",")):
        with tempfile.TemporaryDirectory(dir=os.environ.get("SCALE_FOLDER")) as folder:
            rows += measure(size, Path(folder))
    return rows


def measure(millions: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each stage at one size."""
    users, items = USERS_AND_ITEMS[millions]
    rows: list[dict[str, Any]] = []

    def add(stage: str, run: Run, note: str = "") -> None:
        rows.append(
            {
                "millions": millions,
                "stage": stage,
                "seconds": run.seconds,
                "cpu_seconds": run.cpu_seconds,
                "cpu_us_per_interaction": run.cpu_seconds / millions,
                "peak_gb": run.peak_gb,
                "note": note,
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)

    raw, data, samples, model = (folder / name for name in ("raw", "dataset", "samples", "model"))
    add("generate", _child([_MODULE, "generate", str(raw), str(users), str(items), str(millions * 1_000_000)]))
    add("preprocess", _ncf("preprocess", f"--interactions={raw}", *_outputs(folder, "dataset", "report", "metrics")))
    add("negative-sampling", _ncf("negative-sampling", f"--dataset={data}", f"--samples={samples}"))
    add("fit", *_fit(folder))
    if not model.exists():
        add("(random weights)", _child([_MODULE, "random-model", str(data), str(model)]))
    outputs = _outputs(folder, "metrics", "report", "summary", "passed")
    add("evaluate", _ncf("evaluate", f"--model={model}", f"--samples={samples}", *outputs))
    return rows


def _fit(folder: Path) -> tuple[Run, str]:
    """Fit for an epoch, selection and final; how much of them it is, and the seconds of an epoch."""
    inputs = [f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}"]
    outputs = [f"--trained-model={folder / 'model'}", f"--metrics={folder / 'fit.json'}"]
    checkpoints = folder / "checkpoints"
    command = ["ncf", "fit", *inputs, *outputs, "--epochs=1", f"--checkpoints={checkpoints}"]
    found = _child(command, stop_after=FIT_SECONDS)
    if found.status == 0:
        history = json.loads((folder / "model" / "history.json").read_text())
        return found, f"two epochs, {history['selection'][0]['seconds']:.0f} s each"
    return found, _epoch_so_far(checkpoints, folder)


def _epoch_so_far(checkpoints: Path, folder: Path) -> str:
    """How far the fit came, and the seconds of an epoch as its steps until the checkpoint tell."""
    import torch

    from ncf.artifacts.dataset import Dataset
    from ncf.training.hyperparameters import Hyperparameters

    content = max(checkpoints.glob("*.pt"))
    with content.open("rb") as stream:
        stream.seek(32)  # the digest
        progress = json.loads(torch.load(stream, weights_only=True, mmap=False)["meta"])["progress"]
    position, selection = progress["position"], progress["history"]["selection"]
    positives = len(Dataset.load(folder / "dataset").train.items)
    steps = -(-positives // Hyperparameters().positives_per_batch(positives))
    done = len(selection) + position["step"] / steps
    seconds = position["seconds"] + sum(epoch["seconds"] for epoch in selection)
    return f"{done:.2f} epochs; a whole one would take {seconds / done:.0f} s"


def _outputs(folder: Path, *names: str) -> list[str]:
    return [f"--{name}={folder / name}" for name in names]


def _ncf(stage: str, *arguments: str) -> Run:
    return _child(["ncf", stage, *arguments])


def _child(command: list[str], stop_after: float | None = None) -> Run:
    """Run ``python -m command``; SIGTERM after some seconds, if given."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    timer = threading.Timer(stop_after or 0, process.send_signal, [signal.SIGTERM])
    if stop_after:
        timer.start()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, _STOPPED if stop_after else 0):
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}: {errors[-2000:]}")
    seconds = time.perf_counter() - start
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9, process.returncode)


def _generate(folder: str, users: str, items: str, interactions: str) -> None:
    from tests.helpers.synthetic_large import write_parquet

    write_parquet(Path(folder), int(users), int(items), int(interactions))


def _random_model(dataset: str, model: str) -> None:
    """A model folder of random weights, at the size of a data set."""
    import numpy as np
    import torch

    from ncf.artifacts.dataset import Dataset
    from ncf.artifacts.model_folder import ModelFolder
    from ncf.models.networks import Network, initialise
    from ncf.training.golden import golden_answers
    from ncf.training.hyperparameters import Hyperparameters
    from ncf.training.trainer import model_config

    data, settings = Dataset.load(Path(dataset)), Hyperparameters()
    config = model_config(settings, data)
    network = Network(config, data.n_users)
    initialise(network, settings.seed, settings.init_std, range(data.n_users), data.n_users)
    with torch.no_grad():
        weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    train = data.train.union(data.validation[:, 0], data.validation[:, 1])
    ModelFolder(
        config=config,
        weights=weights,
        user_ids=data.user_ids,
        item_ids=data.item_ids,
        item_titles=data.item_titles,
        train=train,
        seen=data.positives(),
        popularity=np.bincount(train.items, minlength=data.n_items),
        history={"selection": [], "final": [], "best_epoch": 1, "parts": {}, "hyperparameters": {}},
        golden=golden_answers(config, weights, data.user_ids, data.item_ids),
    ).save(Path(model), {}, {})


if __name__ == "__main__":
    {"generate": _generate, "random-model": _random_model}[sys.argv[1]](*sys.argv[2:])
