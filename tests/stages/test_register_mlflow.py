"""The register stage and MLflow."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
from mlflow_server import mlflow_server
from random_model import random_model

from ncf.stage import execution
from ncf.stages.register import Register


def arguments(folder: Path, uri: str = "") -> list[str]:
    """Arguments of a run that registers no package, which needs no AWS account."""
    dataset = {"counts": {"train": 48, "validation": 12, "test": 12}, "files": ["ratings.csv"]}
    source = {"fingerprint": "f" * 64, "commit": "abc", "dataset": dataset}
    history = {"selection": [{"epoch": 1, "loss": 0.5}], "final": [], "trained_at": "2026-11-29T06:00:00+00:00"}
    dataclasses.replace(random_model(), history=history).save(
        folder / "model", {"model": "neumf", "tower": [16, 8]}, source
    )
    (folder / "metrics.json").write_text(json.dumps({"full_ndcg_at_10": 0.25}))
    (folder / "report").write_text("<p>report</p>")  # a KFP artifact has no suffix
    flags = {
        "model": folder / "model",
        "metrics": folder / "metrics.json",
        "report": folder / "report",
        "passed": "true",
        "models": "none",
        "deploy_image": "registry/ncf-deploy:1",
        "run_id": "run-1",
        "mlflow_uri": uri,
        "mlflow_experiment": "mine",
        **{name: folder / "out" / name for name in ("package", "release_now", "summary")},
    }
    return [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def test_a_run_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with mlflow_server(tmp_path / "server") as server:
        execution.run(Register, arguments(tmp_path, server.uri))
        (run,) = server.runs("mine")
    assert run.data.params == {"model": "neumf", "tower": "[16, 8]"}
    assert run.data.metrics == {"loss": 0.5, "full_ndcg_at_10": 0.25}
    assert {name: run.data.tags[f"ncf.{name}"] for name in ("run", "dataset", "commit", "gate")} == {
        "run": "run-1",
        "dataset": "f" * 64,
        "commit": "abc",
        "gate": "passed",
    }
    assert list(server.artifacts.values()) == [b"<p>report</p>"]
    assert f"runs/{run.info.run_id}" in (tmp_path / "out" / "summary").read_text()


def test_a_server_that_is_down_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    execution.run(Register, arguments(tmp_path, "http://127.0.0.1:9"))
    assert json.loads((tmp_path / "out" / "release_now").read_text()) is True
    assert "MLflow" not in (tmp_path / "out" / "summary").read_text()
    (said,) = [entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING"]
    assert said.startswith("MLflow at http://127.0.0.1:9 does not record this run: ")


def test_without_a_server_nothing_of_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlflow", "ncf.experiments.tracking"):
        monkeypatch.setitem(sys.modules, name, None)  # its import would fail
    execution.run(Register, arguments(tmp_path))
    assert "MLflow" not in (tmp_path / "out" / "summary").read_text()
