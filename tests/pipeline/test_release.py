"""The second day on one account: registered, approved, released, taken back; through faults, with requests all the time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from kfp.components import load_component_from_file

import pipeline
from components.local.aws import LocalAws
from components.local.executors import in_processes
from components.local.process_runner import pods_as_processes
from components.local.run import compiled
from ncf.artifacts import manifest as manifests
from ncf.data import synthetic
from ncf.stage import command
from tests.pipeline.test_faults import Recorder, requests_to

BUCKET, ROLE, SHOP = "bucket", "arn:aws:iam::123456789012:role/test", "ncf-shop"
FIT = {1: {"epochs": 1, "factors": 4, "model": "gmf"}, 2: {"epochs": 8, "factors": 16, "model": "gmf"}}
"""Settings of training, by seed: the second model is better, so that it passes the gate beside the first."""


class Killer(Recorder):
    """Kills the pod of deploy once, when it prints a part of a line."""

    def line(self, task: Any, text: str) -> None:
        if task.name == "deploy":
            super().line(task, text)


class Day:
    """Runs of the pipelines on one account.

    Args:
        folder: of data and artifacts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        synthetic.write(folder / "data", users=300, items=250, interactions=9_000, seed=3)

    def run(self, composed: Any, recorder: Recorder, arguments: Mapping[str, Any]) -> Recorder:
        with pods_as_processes(recorder.folder, {}, recorder):
            load_component_from_file(str(compiled(composed, self.folder, True, str(uuid4()))))(**arguments)
        return recorder

    def train(self, seed: int) -> str:
        """A run whose model waits for approval; GROUP/VERSION of its package."""
        arguments = {
            "data_uri": str(self.folder / "data" / "interactions.csv"),
            "aws_s3_prefix": f"s3://{BUCKET}/run-{seed}",
            "train_role": ROLE,
            "deploy_role": ROLE,
            "train_overrides": FIT[seed],
            "deploy_endpoint_name": SHOP,
            "gate_not_worse_than": "none",
            "release": "on_approval",
            "seed": seed,
        }
        recorder = self.run(pipeline.ncf_pipeline, Recorder(self.folder / f"train-{seed}"), arguments)
        assert "deploy" not in recorder.names()
        return recorder.of("register").outputs["package"].partition(":model-package/")[2]

    def release(self, name: str, package: str = "", kill_after: str = "") -> Recorder:
        arguments = {
            "package": package,
            "deploy_role": ROLE,
            "deploy_endpoint_name": SHOP,
            "deploy_overrides": {"bake_time": 1},
        }
        return self.run(pipeline.release_pipeline, Killer(self.folder / name, kill_after), arguments)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAws]:
    with in_processes() as executor, LocalAws(tmp_path / "aws", executor.instances, grace=20) as aws:
        aws.create_bucket(BUCKET)
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        yield aws


def model_of(day: Day, seed: int) -> str:
    """Version of the model of a run."""
    (manifest,) = (day.folder / f"train-{seed}").glob("**/trained_model/manifest.json")

    return manifests.version(json.loads(manifest.read_text()))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_is_registered_approved_released_and_taken_back(
    account: LocalAws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day = Day(tmp_path)
    sagemaker = boto3.client("sagemaker")

    def said(*words: str) -> str:
        capsys.readouterr()
        command.main(list(words))
        return capsys.readouterr().out

    first = day.train(1)
    assert first == "ncf/1"
    assert json.loads(said("models", "--json"))[0]["status"] == "PendingManualApproval"
    with pytest.raises(RuntimeError):
        day.release("too-early")
    with pytest.raises(RuntimeError):
        day.release("by-name", first)
    assert sagemaker.list_endpoints()["Endpoints"] == []

    said("approve", first, "--note", "good lists")
    released = day.release("first")
    assert released.of("select-package").outputs["arn"].endswith("/ncf/1")
    assert f"{SHOP}" in released.of("deploy").outputs["endpoint"]

    second = day.train(2)
    said("approve", second, "--note", "better lists")
    models = {seed: model_of(day, seed) for seed in (1, 2)}
    for operation in ("DescribeModelPackage", "UpdateEndpoint", "AddTags"):
        account.faults.add("refuse", operation, error="ThrottlingException", times=2)
    account.faults.add("hold", SHOP, state="Updating", seconds=3)
    with requests_to(SHOP, "u1") as seen:
        recorder = day.release("second", kill_after="is being updated")
        assert recorder.names().count("deploy") == 2, "the first pod was killed"
        assert f"{SHOP} serves" in (back := said("rollback", SHOP))
        assert "ncf version 1 again" in back
    assert seen["failures"] == []
    assert set(seen["versions"]) == set(models.values()), "only approved models answered, and both did"
    assert seen["versions"][-1] == models[1]

    said("reject", first, "--note", "the old films are gone")
    said("reject", second, "--note", "the old films are gone")
    with pytest.raises(SystemExit, match="2"):
        command.main(["rollback", SHOP])
    with pytest.raises(RuntimeError):
        day.release("all rejected")
    assert [entry["EndpointName"] for entry in sagemaker.list_endpoints()["Endpoints"]] == [SHOP]
