"""``ncf fit`` as a command, in one process and in two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from listening import family, listening_at

from ncf.artifacts import manifest
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.provenance import Provenance
from ncf.errors import InputError
from ncf.serving.golden import check
from ncf.serving.recommender import Recommender
from ncf.stage.execution import run
from ncf.stage.parsing import parse
from ncf.training.distributed import owned_users
from ncf.training.fit import Fit
from ncf.training.hyperparameters import Hyperparameters

from .conftest import Folders

QUICK = [
    "--model",
    "neumf",
    "--validation",
    "sampled",
    "--factors",
    "8",
    "--tower",
    "[16,8]",
    "--epochs",
    "25",
    "--batch-size",
    "500",
    "--learning-rate",
    "0.1",
]


def arguments(folders: Folders, output: Path, *more: str) -> list[str]:
    inputs = ["--dataset", str(folders.dataset), "--samples", str(folders.samples)]
    outputs = ["--trained-model", str(output / "model"), "--metrics", str(output / "metrics.json")]
    return [*inputs, *outputs, *QUICK, "--device", "cpu", *more]


@pytest.mark.parametrize("name", ["neumf", "history"])
def test_writes_a_model_with_all_that_evaluation_and_serving_need(folders: Folders, tmp_path: Path, name: str) -> None:
    run(Fit, arguments(folders, tmp_path, "--model", name))
    dataset, _ = folders.load()
    model = ModelFolder.load(tmp_path / "model")
    assert list(model.item_ids) == list(dataset.item_ids)
    assert len(model.train.items) == len(dataset.train.items) + len(dataset.validation)
    assert len(model.seen.items) == len(model.train.items) + len(dataset.test)
    assert model.popularity.sum() == len(model.train.items)
    assert not any(item in model.train.of_user(user) for user, item in dataset.test)
    for user in (0, 7):
        in_order = [*dataset.train.of_user(user), dataset.validation[user, 1], dataset.test[user, 1]]
        assert (model.seen.of_user(user).tolist(), model.train.of_user(user).tolist()) == (in_order, in_order[:-1])
    assert model.hosted_weights is not None
    assert len(model.history["hosted"]) == len(model.history["final"])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    best = model.history["selection"][model.history["best_epoch"] - 1]
    assert metrics["validation_hr_at_10"] == best["hr_at_10"] > 0.5
    assert len(model.history["final"]) == metrics["best_epoch"] == best["epoch"]
    assert model.history["validation"] == {
        "positives": len(dataset.validation),
        "candidates": 50,
    }
    assert datetime.fromisoformat(model.history["trained_at"]).utcoffset() == timedelta(0)
    assert model.seen_days is not None
    assert np.array_equal(model.seen_days, dataset.positive_days())
    made_of = Provenance.of(manifest.read(tmp_path / "model", "model"))
    assert made_of.counts["validation"] == len(dataset.validation)
    assert made_of.fingerprint == manifest.fingerprint(manifest.read(folders.dataset, "dataset"))
    assert made_of.samples == manifest.fingerprint(manifest.read(folders.samples, "samples"))
    assert (made_of.raw, made_of.machine["device"], made_of.machine["processes"]) == ("groups", "cpu", "1")
    assert made_of.machine["torch"] == torch.__version__
    parameters = manifest.read(tmp_path / "model", "model")["parameters"]
    assert parameters == Hyperparameters(**parameters).model_dump(mode="json"), "all that a new fit needs"


@pytest.mark.parametrize("model", ["gmf", "mlp", "neumf", "history"])
def test_the_golden_answers_of_the_network_are_those_of_what_serves(
    folders: Folders, tmp_path: Path, model: str
) -> None:
    run(Fit, arguments(folders, tmp_path, "--model", model, "--epochs", "2"))
    loaded = ModelFolder.load(tmp_path / "model")
    assert [request.user for request in loaded.golden.requests] == ["u0", "u16", "u32", "u48", "u64"]
    assert all(len(request.items) == 10 for request in loaded.golden.requests)
    assert check(Recommender(loaded), loaded.golden) < 1e-4


def test_threads_are_those_that_are_given(folders: Folders, tmp_path: Path) -> None:
    run(Fit, arguments(folders, tmp_path, "--threads", "3", "--epochs", "1"))
    assert Provenance.of(manifest.read(tmp_path / "model", "model")).machine["threads"] == "3"


def test_without_a_refit_the_evaluated_weights_are_hosted(folders: Folders, tmp_path: Path) -> None:
    settings = ("--model", "history", "--refit", "false", "--epochs", "2", "--validation", "catalogue")
    run(Fit, arguments(folders, tmp_path, *settings))
    model = ModelFolder.load(tmp_path / "model")
    assert model.hosted_weights is None
    ranked = {"positives": 80, "candidates": model.config.n_items - 1}
    assert model.history["validation"] == ranked, "the page tells what a positive was ranked among"
    assert model.history["hosted"] == []
    assert check(Recommender(model), model.golden) < 1e-4
    assert model.hosted().weights is model.weights


def test_samples_of_another_data_set_are_refused(
    folders: Folders, make_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="another data set"):
        run(Fit, arguments(Folders(make_dataset(), folders.samples), tmp_path))
    assert not list(tmp_path.glob("model*"))


def test_its_arguments_give_the_same_settings(folders: Folders, tmp_path: Path) -> None:
    fit = parse(Fit, arguments(folders, tmp_path, "--l2", "0.25"))
    assert isinstance(fit, Fit)
    assert parse(Fit, fit.arguments()) == fit


def test_a_gpu_that_is_not_there_is_an_error(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="parameter 'device' is cuda"):
        run(Fit, arguments(folders, tmp_path, "--device", "cuda"))


def test_checkpoints_are_kept_in_a_local_folder(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="parameter 'checkpoints' is 's3://bucket/key'"):
        run(Fit, arguments(folders, tmp_path, "--checkpoints", "s3://bucket/key"))


def test_users_are_shared_out_by_their_positives() -> None:
    counts = np.array([50, 1, 1, 1, 47, 0, 50, 50])
    assert owned_users(counts, 1).tolist() == [0, 8]
    assert owned_users(counts, 2).tolist() == [0, 5, 8]
    assert owned_users(np.array([5, 5]), 4).tolist()[-1] == 2
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 50, 1000)
    shares = np.add.reduceat(counts, owned_users(counts, 7)[:-1])
    assert shares.max() - shares.min() < 100


@pytest.mark.slow
def test_two_processes_train_the_same_model_as_one(folders: Folders, tmp_path: Path) -> None:
    run(Fit, arguments(folders, tmp_path / "1"))
    more = ["--processes-per-host", "2", "--checkpoints", str(tmp_path / "checkpoints")]
    command = [sys.executable, "-m", "ncf", "fit", *arguments(folders, tmp_path / "2", *more)]
    subprocess.run(command, check=True, timeout=120)
    results = {name: ModelFolder.load(tmp_path / name / "model") for name in ("1", "2")}  # which checks the shapes
    one, two = (results[processes].history["selection"] for processes in ("1", "2"))
    assert one[-1]["loss"] == pytest.approx(two[-1]["loss"], abs=0.05)
    best_one, best_two = (max(epoch["hr_at_10"] for epoch in epochs) for epochs in (one, two))
    assert best_two == pytest.approx(best_one, abs=0.1)
    assert best_two > 0.5
    # every user's row was trained, and only by its owner
    assert (np.abs(results["2"].weights["user_gmf.weight"]).max(1) > 0.1).all()


@pytest.mark.slow
def test_sigterm_stops_two_processes_with_a_checkpoint_from_which_they_go_on(folders: Folders, tmp_path: Path) -> None:
    more = ["--processes-per-host", "2", "--checkpoints", str(tmp_path / "checkpoints")]
    command = [sys.executable, "-m", "ncf", "fit", *arguments(folders, tmp_path, *more)]
    process = subprocess.Popen(
        [*command, "--epochs", "900"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch=2" in line:
            heard = listening_at(family(process.pid))
            process.send_signal(signal.SIGTERM)
            break
    assert heard == {"127.0.0.1"}, "no other machine is listened to"
    rest = process.stderr.read()
    assert process.wait(60) == 128 + signal.SIGTERM, rest
    assert "a checkpoint is written" in rest
    assert not (tmp_path / "model").exists()
