"""NeuMF of guoyang9/NCF, run by its own code, and ours with the same architecture, on one core.

``make bench-peer PEER=checkout DATA=folder [EPOCHS=1]``. DATA holds the NCF release's ml-1m files, plain or .xz.
Times are those of training and sampling, without evaluation, on both sides. The hit rate is on the release's test
candidates after each epoch, which nothing is chosen by here.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SAMPLES_PER_POSITIVE = 5
PAPER = {"factors": 32, "tower": [256, 128, 64, 32]}
FILES = ("ml-1m.train.rating", "ml-1m.test.rating", "ml-1m.test.negative")
HR = 0.69
QUICK = {
    "pretrain": True,
    "pretrain_overrides": {"gmf": {"epochs": 6, "learning_rate": 0.02}, "mlp": {"epochs": 1}},
    "pretrain_alpha": 0.9,
    "factors": 32,
    "tower": [32, 16, 8],
    "epochs": 1,
    "patience": 0,
}
"""What reaches the hit rate soon: a GMF, an MLP and the two joined."""


def run() -> list[dict[str, Any]]:
    """Both, one after the other; ``ratio`` is to the peer, in this run."""
    peer, data, epochs = (os.environ.get(name, "") for name in ("PEER", "DATA", "EPOCHS"))
    if not (Path(peer) / "main.py").is_file():
        sys.exit(f"PEER is '{peer}': expected a checkout of guoyang9/NCF")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _release(Path(data), folder / "raw")
        positives = sum(1 for _ in (folder / "raw" / FILES[0]).open())
        theirs = _peer(Path(peer), folder, epochs or "1")
        ours = _ours(folder)
    rate = {"theirs": 0.0, "ours": 0.0}
    rate["theirs"] = positives * SAMPLES_PER_POSITIVE * len(theirs) / sum(epoch["seconds"] for epoch in theirs)
    rate["ours"] = ours["samples"] / ours["seconds"]
    reached = [_time_to(theirs), ours["to_hr"]]
    rows = []
    for who, samples, to_hr in (("guoyang9/NCF", rate["theirs"], reached[0]), ("ncf", rate["ours"], reached[1])):
        rows.append(
            {
                "who": who,
                "k_samples_per_second": samples / 1000,
                "ratio": samples / rate["theirs"],
                f"seconds_to_hr_{HR}": to_hr or "not reached",
                "times_as_fast": reached[0] / to_hr if reached[0] and to_hr else "",
            }
        )
    return rows


def _release(data: Path, folder: Path) -> None:
    folder.mkdir()
    for name in FILES:
        if (data / name).is_file():
            shutil.copy(data / name, folder)
        elif (data / f"{name}.xz").is_file():
            (folder / name).write_bytes(lzma.decompress((data / f"{name}.xz").read_bytes()))
        else:
            sys.exit(f"DATA is '{data}': expected {name} or {name}.xz there")


def _on_one_core(command: list[str], **environment: str) -> str:
    core = {min(os.sched_getaffinity(0))}
    ran = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: os.sched_setaffinity(0, core),
    )
    return ran.stdout


def _peer(checkout: Path, folder: Path, epochs: str) -> list[dict[str, float]]:
    program = Path(__file__).with_name("peer_program.py")
    command = [sys.executable, str(program), str(checkout.resolve()), str(folder / "raw"), "--epochs", epochs]
    output = _on_one_core(command, PEER_MODELS=str(folder / "models"))
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def _ours(folder: Path) -> dict[str, Any]:
    return dict(json.loads(_on_one_core([sys.executable, "-m", __name__, str(folder)]).splitlines()[-1]))


def _time_to(epochs: list[dict[str, float]]) -> float:
    seconds = 0.0
    for epoch in epochs:
        seconds += epoch["seconds"]
        if epoch["hr"] >= HR:
            return seconds
    return 0.0


def _train(folder: Path) -> dict[str, Any]:
    """NeuMF's speed with the peer's architecture; and, with pre-training, the seconds to the hit rate."""
    from ncf.training import cpu

    cpu.prepare()
    subprocess.run(
        [
            *(sys.executable, "-m", "ncf", "preprocess", f"--interactions={folder / 'raw'}"),
            *(f"--{output}={folder / output}" for output in ("dataset", "report", "metrics")),
        ],
        check=True,
    )
    drawing = [f"--dataset={folder / 'dataset'}", f"--samples={folder / 'samples'}"]
    subprocess.run([sys.executable, "-m", "ncf", "negative-sampling", *drawing], check=True)
    from dataclasses import replace

    from ncf.artifacts.dataset import Dataset
    from ncf.artifacts.samples import Samples
    from ncf.training.distributed import process_group
    from ncf.training.hyperparameters import Hyperparameters
    from ncf.training.pretraining import train
    from ncf.training.trainer import Trainer

    dataset, samples = Dataset.load(folder / "dataset"), Samples.load(folder / "samples")
    # as the peer does: no validation items are held out, and each epoch is ranked on the test candidates
    positives = dataset.train.union(dataset.validation[:, 0], dataset.validation[:, 1])
    whole = replace(dataset, train=positives, validation=dataset.validation[:0])
    ranked = replace(
        samples,
        exclusion=positives,
        validation=samples.test,
        validation_candidates=samples.test_candidates,
    )
    with process_group("cpu") as world:

        def make(settings: Hyperparameters, _: str, *start: Any, **how: Any) -> Trainer:
            return Trainer(whole, ranked, settings, world, None, lambda: False, *start, **how)

        same = make(Hyperparameters(**PAPER, epochs=2, patience=0), "")
        same.run()
        trained = train(Hyperparameters(**QUICK), make)
    seconds = sum(epoch["seconds"] for fits in trained.parts.values() for epoch in fits["selection"])
    hr = trained.trainer.record.start_metrics["hr_at_10"]
    if hr < HR:  # the joined parts do not suffice
        fine_tuned = trained.trainer.record.epochs["selection"]
        seconds, hr = seconds + sum(epoch["seconds"] for epoch in fine_tuned), fine_tuned[-1]["hr_at_10"]
    epochs = same.history["selection"]
    return {
        "samples": sum(epoch["seconds"] * epoch["samples_per_second"] for epoch in epochs),
        "seconds": sum(epoch["seconds"] for epoch in epochs),
        "to_hr": seconds if hr >= HR else 0.0,
        "hr": hr,
    }


if __name__ == "__main__":
    print(json.dumps(_train(Path(sys.argv[1]))))
