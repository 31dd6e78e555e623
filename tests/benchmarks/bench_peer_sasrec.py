"""SASRec of pmixer/SASRec.pytorch, run by its own code, and ours, on the same data.

``make bench-peer-sasrec PEER=checkout DATA=interactions with times [EPOCHS=4]``. The peer is trained by its own
``main.py`` with the settings of the paper for sparse data (Kang and McAuley, ICDM 2018: the latest 50 items, dropout
0.5) for EPOCHS epochs: its default is 1,000, and the paper stops after 20 without a better validation figure. Ours is
``ncf fit`` with the default settings, without the third fit. Both are scored in two ways: by the peer's ``evaluate``,
on the same users and drawn items, and among all items that the user does not have. "core s" are seconds of all cores,
which other processes on the machine change little; the peer runs on one thread and its samplers, as a second one would
mostly wait.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_reproduce import _ncf

PROGRAM = Path(__file__).with_name("peer_sasrec_program.py")
NAME = "peer"
"""Of the data set in the peer's folder ``data``, and of its results."""
PAPER = ("--maxlen=50", "--dropout_rate=0.5")


def run() -> list[dict[str, Any]]:
    """Both, one after the other; ``ratio`` is the whole catalogue's NDCG@10 over the peer's."""
    peer, data, epochs = Path(os.environ.get("PEER", "")), os.environ.get("DATA", ""), os.environ.get("EPOCHS") or "4"
    if not (peer / "python" / "main.py").is_file():
        sys.exit(f"PEER is '{peer}': expected a checkout of pmixer/SASRec.pytorch")
    if not Path(data).exists():
        sys.exit(f"DATA is '{data}': expected interactions with times, a file or a folder")
    checkout = peer.resolve() / "python"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset, samples, model = (folder / part for part in ("dataset", "samples", "model"))
        made = [f"--dataset={dataset}", f"--report={folder / 'report'}", f"--metrics={folder / 'read'}"]
        _ncf("preprocess", f"--interactions={data}", *made)
        _ncf("negative-sampling", f"--dataset={dataset}", f"--samples={samples}")
        write(dataset, folder / "data" / f"{NAME}.txt")
        fit = ("fit", f"--dataset={dataset}", f"--samples={samples}", f"--trained-model={model}")
        ours = _timed(lambda: _ncf(*fit, f"--metrics={folder / 'fit'}", "--refit=false"))
        command = [f"--dataset={NAME}", f"--train_dir={NAME}", "--device=cpu", f"--num_epochs={epochs}", *PAPER]
        theirs = _timed(lambda: _run([checkout / "main.py", *command], folder))
        history = json.loads((model / "history.json").read_text())
        of_fits = {who: len(history[who]) for who in ("selection", "final")}
        scores = _scores(_run([PROGRAM, checkout, folder, *PAPER], folder))
    rows: list[dict[str, Any]] = []
    for who, trained, (wall, processor), steps in (
        ("SASRec.pytorch", f"{epochs} epochs", theirs, int(epochs)),
        ("ncf", f"{of_fits['selection']} + {of_fits['final']} epochs", ours, sum(of_fits.values())),
    ):
        rows.append(
            {
                "who": who,
                "trained": trained,
                "core s an epoch": processor / steps,
                "core s": processor,
                "s": wall,
                **scores[who],
                "ratio": scores[who]["whole catalogue: NDCG@10"] / scores["SASRec.pytorch"]["whole catalogue: NDCG@10"],
            }
        )
    return rows


def write(dataset: Path, path: Path) -> None:
    """The data in the peer's format: a line ``user item`` for each interaction, numbers from 1, in order of time."""
    from ncf.artifacts.dataset import Dataset

    loaded = Dataset.load(dataset)
    if loaded.days is None:
        sys.exit("DATA has no times: expected interactions with times, as SASRec learns from their order")
    positives = loaded.positives()
    path.parent.mkdir()
    users, items = positives.users().tolist(), positives.items.tolist()
    path.write_text("".join(f"{user + 1} {item + 1}\n" for user, item in zip(users, items, strict=True)))


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of work in other processes by the clock, and of the processor."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(command: list[Any], folder: Path) -> str:
    """The output of a Python program that runs in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, *map(str, command)], check=True, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    )
    return ran.stdout


def _scores(output: str) -> dict[str, dict[str, float]]:
    return dict(json.loads(output.splitlines()[-1]))
