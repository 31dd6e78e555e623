"""Runs in MLflow, in MLflow's own store."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow_server import MlflowServer, mlflow_server

from ncf.experiments.record import Record
from ncf.experiments.settings import ExperimentSettings
from ncf.experiments.tracking import track

pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")

EPOCHS = [
    {"epoch": 1, "loss": 0.5, "hr_at_10": 0.2, "ndcg_at_10": 0.1, "seconds": 1.0},
    {"epoch": 2, "loss": 0.4, "hr_at_10": 0.3, "ndcg_at_10": 0.2, "seconds": 1.0},
]
HISTORY = {"selection": EPOCHS, "final": [{"epoch": 1, "loss": 0.6}], "trained_at": "2026-11-29T06:00:00+00:00"}
PAGES = {"report.html": "<p>é</p>", "diff.html": "<p>diff</p>"}


def record(run: str = "run-1", **more: Any) -> Record:
    values: dict[str, Any] = {
        "hyperparameters": {"model": "neumf", "tower": [16, 8], "dropout": 0.0},
        "history": HISTORY,
        "metrics": {"full_ndcg_at_10": 0.25, "gate_passed": 1.0, "details": {}, "lost": float("nan")},
        "facts": {"package": "arn:aws:sagemaker:package/1", "commit": ""},
        "pages": PAGES,
        **more,
    }
    return Record(run, **values)


def settings(server: MlflowServer) -> ExperimentSettings:
    return ExperimentSettings(mlflow_uri=server.uri)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ALLOW_FILE_STORE": "true",
        "HTTP_REQUEST_TIMEOUT": "1",
        "HTTP_REQUEST_MAX_RETRIES": "1",
    }.items():
        monkeypatch.setenv(f"MLFLOW_{name}", value)


@pytest.fixture
def server(tmp_path: Path, _environment: None) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path) as running:
        yield running


def test_a_run_is_recorded(server: MlflowServer) -> None:
    url = track(settings(server), record())
    (run,) = server.runs()
    assert url == f"{server.uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert (run.info.run_name, run.info.status) == ("run-1", "FINISHED")
    assert run.data.params == {"model": "neumf", "tower": "[16, 8]", "dropout": "0.0"}
    losses = server.store.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in losses] == [(1, 0.5), (2, 0.4)]
    assert run.data.metrics == {
        "loss": 0.4,
        "validation_hr_at_10": 0.3,
        "validation_ndcg_at_10": 0.2,
        "full_ndcg_at_10": 0.25,
        "gate_passed": 1.0,
    }
    tags = {name: value for name, value in run.data.tags.items() if name.startswith("ncf.")}
    assert tags == {"ncf.run": "run-1", "ncf.package": "arn:aws:sagemaker:package/1"}
    stored = {path.rpartition("/")[2]: content.decode() for path, content in server.artifacts.items()}
    assert stored == PAGES


def test_without_validation_the_losses_are_those_of_the_final_fit(server: MlflowServer) -> None:
    track(settings(server), record(history={**HISTORY, "selection": []}))
    assert server.runs()[0].data.metrics["loss"] == 0.6


@pytest.mark.parametrize("killed_at", ["runs/set-tag", "runs/log-batch", "runs/update", "nothing"])
def test_a_retried_pod_continues_the_run(server: MlflowServer, killed_at: str) -> None:
    server.refuse = killed_at.__eq__
    track(settings(server), record())
    server.refuse = "".__eq__
    track(settings(server), record(facts={"package": "later"}))
    track(settings(server), record("run-2"))
    runs = {run.info.run_name: run for run in server.runs()}
    assert len(server.runs()) == 2
    assert runs["run-1"].info.status == "FINISHED"
    assert runs["run-1"].data.tags["ncf.package"] == "later"
    losses = server.store.get_metric_history(runs["run-1"].info.run_id, "loss")
    assert {(metric.step, metric.value, metric.timestamp) for metric in losses} == {
        (1, 0.5, 1795932000000),
        (2, 0.4, 1795932000000),
    }


def test_a_finished_run_gets_no_metric_twice(server: MlflowServer) -> None:
    track(settings(server), record())
    track(settings(server), record())
    (run,) = server.runs()
    assert len(server.store.get_metric_history(run.info.run_id, "loss")) == 2


def test_long_values_and_many_epochs_fit(server: MlflowServer) -> None:
    epochs = [{**EPOCHS[0], "epoch": epoch} for epoch in range(1, 501)]
    track(
        settings(server),
        record(
            history={**HISTORY, "selection": epochs}, hyperparameters={"tower": [1] * 9000}, facts={"gate": "x" * 9000}
        ),
    )
    (run,) = server.runs()
    assert run.info.status == "FINISHED"
    assert len(server.store.get_metric_history(run.info.run_id, "loss")) == 500
    assert (len(run.data.params["tower"]), len(run.data.tags["ncf.gate"])) == (6000, 5000)


def test_a_server_without_artifacts_gets_the_rest(tmp_path: Path) -> None:
    with mlflow_server(tmp_path, keeps_artifacts=False) as server:
        track(settings(server), record())
        assert server.runs()[0].info.status == "FINISHED"
    assert not list(tmp_path.rglob("*.html")), "it would be on the disk of the pod"


def test_refused_artifacts_are_said_and_the_rest_is_recorded(
    server: MlflowServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse = lambda path: "artifacts" in path
    assert track(settings(server), record())
    assert server.runs()[0].info.status == "FINISHED"
    (said,) = warnings(caplog)
    assert said.startswith("MLflow does not store report.html, diff.html: ")


def test_a_server_that_refuses_is_said_once(server: MlflowServer, caplog: pytest.LogCaptureFixture) -> None:
    server.refuse = bool
    assert track(settings(server), record()) == ""
    (said,) = warnings(caplog)
    assert said.startswith(f"MLflow at {server.uri} does not record this run: ")
    assert "you may not do this" in said


@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_is_down_is_said_once(answers: bool, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as bound:  # without listen, connections are refused; with it, nobody answers them
        bound.bind(("127.0.0.1", 0))
        if answers:
            bound.listen()
        uri = f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert track(ExperimentSettings(mlflow_uri=uri), record()) == ""
    (said,) = warnings(caplog)
    assert said.startswith(f"MLflow at {uri} does not record this run: ")
    assert "\n" not in said


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
