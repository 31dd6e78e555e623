"""The stage evaluate on a model that is good or bad on purpose."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.reports import dataset, diff_plots, evaluation_plots, training_plots
from ncf.stage.execution import run
from ncf.stages.evaluate import Evaluate

HISTORY = {
    "selection": [
        {
            "epoch": epoch,
            "loss": 0.5 / epoch,
            "seconds": 1.0,
            "hr_at_10": 0.1 * epoch,
            "ndcg_at_10": 0.05 * epoch,
        }
        for epoch in (1, 2, 3)
    ],
    "final": [{"epoch": epoch, "loss": 0.4 / epoch, "seconds": 1.0} for epoch in (1, 2)],
    "best_epoch": 2,
    "hyperparameters": {"model": "neumf", "factors": 4},
}


def make(folder: Path, good: bool = True, **options: Any) -> tuple[Path, Path]:
    """A model and samples of its data: a good model ranks each test item first, a bad one last."""
    model: ModelFolder = random_model("gmf", n_users=40, n_items=150, factors=40, **options)
    rng = np.random.default_rng(0)
    test = np.array([[u, np.setdiff1d(model.seen.of_user(u), model.train.of_user(u))[0]] for u in range(40)], np.int32)
    weights = {name: np.zeros_like(weight) for name, weight in model.weights.items()}
    weights["user_gmf.weight"] = np.eye(40, dtype=np.float32)
    weights["item_gmf.weight"] = rng.normal(0, 0.01, (150, 40)).astype(np.float32)
    weights["item_gmf.weight"][test[:, 1], test[:, 0]] = 5 if good else -5
    weights["output.weight"] = np.ones((1, 40), np.float32)
    model = dataclasses.replace(model, weights=weights, history=HISTORY)
    model.save(folder / "model", {}, {})
    candidates = np.stack(
        [rng.choice(np.setdiff1d(np.arange(150), model.seen.of_user(u)), 99, False) for u in range(40)]
    )
    Samples(
        n_users=40,
        n_items=150,
        validation=test[:0],
        validation_candidates=candidates[:0].astype(np.int32),
        test=test,
        test_candidates=candidates.astype(np.int32),
        exclusion=ItemsByUser.of(model.train.users(), np.asarray(model.train.items), 40),
    ).save(folder / "samples", {})
    return folder / "model", folder / "samples"


@contextmanager
def undrawn() -> Iterator[None]:
    """For tests of numbers and words: charts are set up, but not drawn, which takes a second a report."""
    with ExitStack() as stack:
        for module in (dataset, diff_plots, evaluation_plots, training_plots):
            stack.enter_context(patch.object(module, "svg", lambda _: "<svg/>"))
        yield


def run_undrawn(folder: Path, model: Path, samples: Path, *arguments: str) -> dict[str, Any]:
    """:func:`run_stage` without drawing."""
    with undrawn():
        return run_stage(folder, model, samples, *arguments)


def run_stage(folder: Path, model: Path, samples: Path, *arguments: str) -> dict[str, Any]:
    outputs = {
        "metrics": "metrics.json",
        "report": "report.html",
        "diff": "diff.html",
        "summary": "summary.md",
        "passed": "passed",
    }
    flags = [text for name, file in outputs.items() for text in (f"--{name}", str(folder / file))]
    run(Evaluate, ["--model", str(model), "--samples", str(samples), *flags, *arguments])
    return {
        "metrics": json.loads((folder / "metrics.json").read_text()),
        "report": (folder / "report.html").read_text(),
        "diff": (folder / "diff.html").read_text(),
        "summary": (folder / "summary.md").read_text(),
        "passed": (folder / "passed").read_text(),
    }
