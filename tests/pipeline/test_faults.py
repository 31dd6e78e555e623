"""The whole pipeline through faults: interrupted, killed, rolled back, throttled; nothing is lost and nothing bought twice."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from kfp.components import load_component_from_file

import pipeline
from components.local.aws import LocalAws
from components.local.executors import in_processes
from components.local.process_runner import TaskRun, pods_as_processes
from components.local.run import compiled
from ncf.data import synthetic
from ncf.stage import execution
from ncf.stages.train import Train
from ncf.storage import sha256

BUCKET, ROLE, ENDPOINT = "bucket", "arn:aws:iam::123456789012:role/test", "ncf-shop"
SETTINGS = {"epochs": 3, "factors": 8, "tower": [16, 8], "spot_instance": True, "max_wait_time": 7200}
SETTINGS |= {"dropout": 0.1, "batch_size": 250}  # which the compiled step leaves to torch: epochs to interrupt


@dataclass
class Recorder:
    """Keeps every try of every task, and kills the launcher of a training job when it sees a line.

    Attributes:
        tries: in order.
        folder: of the run's artifacts.
        kill_after: part of the line; '' for never.
    """

    folder: Path
    kill_after: str = ""
    tries: list[TaskRun] = field(default_factory=list)

    def started(self, task: TaskRun) -> None:
        self.tries.append(task)

    def line(self, task: TaskRun, text: str) -> None:
        if self.kill_after and self.kill_after in text:
            self.kill_after = ""
            for pid in processes_of(task.name, self.folder):
                os.kill(pid, signal.SIGKILL)

    def finished(self, task: TaskRun) -> None:
        """Kept at its start."""

    def names(self) -> list[str]:
        return [task.name for task in self.tries]

    def of(self, name: str) -> TaskRun:
        """The last try of a task."""
        return [task for task in self.tries if task.name == name][-1]


def processes_of(stage: str, folder: Path) -> list[int]:
    """Processes that run a stage's pod with artifacts in ``folder``."""
    mark = f"\0-m\0ncf\0{stage}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command_line = path.read_bytes()
            if mark in command_line and str(folder).encode() in command_line:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@contextmanager
def requests_to(endpoint: str, user: str) -> Iterator[dict[str, list[str]]]:
    """A constant stream of requests: the versions that answered, and what failed."""
    seen: dict[str, list[str]] = {"versions": [], "failures": []}
    over = threading.Event()
    runtime = boto3.client("sagemaker-runtime")

    def ask() -> None:
        while not over.wait(0.02):
            try:
                answer = runtime.invoke_endpoint(
                    EndpointName=endpoint, ContentType="application/json", Body=json.dumps({"users": [user], "k": 3})
                )
                seen["versions"].append(json.loads(answer["Body"].read())["model_version"])
            except (ClientError, BotoCoreError) as error:
                seen["failures"].append(repr(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(10)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with in_processes() as executor, LocalAws(tmp_path / "aws", executor.instances, grace=20) as aws:
        aws.create_bucket(BUCKET)
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        yield aws


@pytest.mark.slow
@pytest.mark.timeout(900)  # two minutes on an idle machine
def test_a_run_through_faults(account: LocalAws, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "data", users=700, items=300, interactions=40_000, seed=3)

    def run(name: str, seed: int, endpoint: str, recorder: Recorder) -> Recorder:
        with pods_as_processes(tmp_path / name, {}, recorder):
            load_component_from_file(str(compiled(pipeline.ncf_pipeline, tmp_path, True, str(uuid4()))))(
                data_uri=str(tmp_path / "data" / "interactions.csv"),
                data_items_uri=str(tmp_path / "data" / "items.csv"),
                aws_s3_prefix=f"s3://{BUCKET}/ncf",
                train_role=ROLE,
                deploy_role=ROLE,
                train_overrides=SETTINGS,
                deploy_endpoint_name=endpoint,
                deploy_overrides={"bake_time": 1, "traffic_shift": "canary", "shift_percent": 20},
                gate_not_worse_than="none",
                seed=seed,
            )
        return recorder

    sagemaker = boto3.client("sagemaker")

    def jobs() -> list[str]:
        return [
            entry["TrainingJobName"] for entry in sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        ]

    first = run("first", 1, ENDPOINT, Recorder(tmp_path))
    assert first.names() == [
        "check",
        "preprocess",
        "negative-sampling",
        "train",
        "evaluate",
        "register",
        "deploy",
        "finish",
    ]
    before, blue = jobs(), sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"]

    faults = account.faults
    faults.add("interrupt", "ncf-train", after_line="fit=selection epoch=2", after=0.1)
    faults.add("interrupt", "ncf-train", after_line="fit=final epoch=1", after=0.1)
    faults.add("refuse", "DescribeTrainingJob", times=6)
    faults.add("refuse", "GetLogEvents", error="ServiceUnavailable", times=6)
    faults.add("refuse", "CreateTrainingJob", error="drop", times=2)
    faults.add("late", "CreateModelPackage")
    faults.add("refuse", "CreateModelPackage", error="cut", times=2)
    faults.add("refuse", "UpdateEndpoint", error="InternalFailure", times=2)
    faults.add("alarm", f"{ENDPOINT}-errors", seconds=2)
    with requests_to(ENDPOINT, "u1") as seen:
        second = run("second", 2, ENDPOINT, Recorder(tmp_path, kill_after="fit=selection epoch=1"))
    assert faults.coming() == []

    tries = [
        "check",
        "preprocess",
        "negative-sampling",
        "train",
        "train",
        "evaluate",
        "register",
        "deploy",
        "deploy",
        "finish",
    ]
    assert second.names() == tries, "the launcher was killed once, the update went back once"
    compared = [Path(each.of("evaluate").outputs["report"]["uri"]).read_text() for each in (first, second)]
    assert f"There is no endpoint {ENDPOINT} in " in compared[0]
    assert f"The champion is endpoint {ENDPOINT}, version " in compared[1]
    killed, rolled_back = second.tries[3], second.tries[7]
    assert killed.exit_code == -signal.SIGKILL
    assert "it was rolled back, and the previous model is in service" in rolled_back.last_line
    assert f"alarm {ENDPOINT}-errors" in rolled_back.last_line or "Alarm fired" in rolled_back.last_line

    registered = sagemaker.list_model_packages(ModelPackageGroupName="ncf")["ModelPackageSummaryList"]
    assert [entry["ModelPackageVersion"] for entry in registered] == [2, 1], "one package a run"

    (bought,) = set(jobs()) - set(before)
    job = sagemaker.describe_training_job(TrainingJobName=bought)
    states = [entry["Status"] for entry in job["SecondaryStatusTransitions"]]
    assert (states.count("Interrupted"), job["TrainingJobStatus"]) == (2, "Completed")
    assert "| interruptions | 2 |" in Path(second.of("train").outputs["summary"]["uri"]).read_text()

    described = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] != blue
    assert seen["failures"] == []
    versions = list(dict.fromkeys(seen["versions"]))
    assert len(versions) == 2
    assert seen["versions"][0] == versions[0]
    assert seen["versions"][-1] == versions[1], "the right model is live"

    undisturbed = tmp_path / "undisturbed"
    flags = {
        "dataset": second.of("preprocess").outputs["dataset"]["uri"],
        "samples": second.of("negative-sampling").outputs["samples"]["uri"],
        **{name: str(undisturbed / name) for name in ("trained-model", "model-uri", "metrics", "summary")},
        "role": ROLE,
        "train-image": "ncf-train:1",
        "s3-prefix": f"s3://{BUCKET}/ncf",
        "train-overrides": json.dumps(SETTINGS),
        "seed": "2",
    }
    execution.run(Train, [part for name, value in flags.items() for part in (f"--{name}", value)])
    through_faults = Path(second.of("train").outputs["trained_model"]["uri"])
    weights = [sha256(folder / "weights.safetensors") for folder in (through_faults, undisturbed / "trained-model")]
    assert weights[0] == weights[1], "bit for bit what an undisturbed job trains"


@pytest.mark.slow
def test_the_exit_handler_stops_what_a_failed_run_has_left(account: LocalAws, tmp_path: Path) -> None:
    """The launcher is killed at each of its tries, so that nobody waits for its job any more."""
    synthetic.write(tmp_path / "data", users=300, items=250, interactions=9_000, seed=3)
    package = compiled(pipeline.ncf_pipeline, tmp_path, False, str(uuid4()))
    account.faults.add("hold", "ncf-train", state="Starting", seconds=60)
    topic = boto3.client("sns").create_topic(Name="runs")["TopicArn"]
    recorder = Recorder(tmp_path, kill_after="is started")
    with pods_as_processes(tmp_path / "root", {}, recorder), pytest.raises(RuntimeError):
        load_component_from_file(str(package))(
            data_uri=str(tmp_path / "data" / "interactions.csv"),
            aws_s3_prefix=f"s3://{BUCKET}/ncf",
            train_role=ROLE,
            deploy_role=ROLE,
            train_overrides={"factors": 8, "tower": [16, 8]},
            notify=topic,
        )
    assert recorder.names() == ["check", "preprocess", "negative-sampling", "train", "finish"]
    (job,) = boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert job["TrainingJobStatus"] in ("Stopping", "Stopped")
    summary = Path(recorder.of("finish").outputs["summary"]["uri"]).read_text()
    assert ": failed in train\n" in summary
    assert f"- training job {job['TrainingJobName']}: " in summary
    assert "abandoned, stopped" in summary
