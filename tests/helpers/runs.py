"""What the stages of a run leave in an AWS account on this machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
from local_account import BUCKET, ROLE
from random_model import random_model

from ncf.artifacts import manifest
from ncf.aws.names import RUN_TAG
from ncf.errors import RemoteError
from ncf.sagemaker.jobs import job as training_job
from ncf.stage import execution
from ncf.stages.deploy import Deploy
from ncf.stages.register import Register
from ncf.stages.train import Train

PREFIX = f"s3://{BUCKET}/ncf"


def deploy(folder: Path, endpoint: str, run: str, seed: int, *more: str, **history: bool) -> str:
    """Host a model; the name of its version.

    Args:
        folder: for the model and the outputs.
        endpoint: its name.
        run: ID of the run.
        seed: of the model.
        more: further arguments.
        history: of the model: ``errs=True`` for one that fails the smoke test.
    """
    model = folder / f"model-{seed}"
    if not model.exists():
        replace(random_model(seed=seed), history={"broken": False, **history}).save(model, {}, {})
    flags = {
        "model": model,
        "role": ROLE,
        "deploy-image": "registry/ncf-deploy:1",
        "s3-prefix": PREFIX,
        "endpoint-name": endpoint,
        "run-id": run,
        "bake-time": 0,
        **{name: folder / run / name for name in ("endpoint", "target", "summary", "metrics")},
    }
    execution.run(Deploy, [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more])
    return str(boto3.client("sagemaker").describe_endpoint(EndpointName=endpoint)["EndpointConfigName"])


def register(folder: Path, group: str, run: str, seed: int, *more: str) -> str:
    """Register a model; the ARN of its package.

    Args:
        folder: for the model and the outputs.
        group: name of the model package group.
        run: ID of the run.
        seed: of the model.
        more: further arguments.
    """
    model = folder / f"model-{seed}"
    if not model.exists():
        replace(random_model(seed=seed), history={"broken": False}).save(model, {}, {})
    (folder / "metrics.json").write_text('{"gate_passed": 1, "full_ndcg_at_10": 0.1, "full_hr_at_10": 0.2}')
    (folder / "report.html").write_text("<p>report</p>")
    flags = {
        "model": model,
        "metrics": folder / "metrics.json",
        "report": folder / "report.html",
        "passed": "true",
        "deploy-image": "registry/ncf-deploy:1",
        "s3-prefix": PREFIX,
        "registry-group": group,
        "run-id": run,
        **{name: folder / run / name for name in ("package", "release-now", "summary")},
    }
    execution.run(Register, [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more])
    return (folder / run / "package").read_text()


def train(folder: Path, dataset: Path, run: str, *more: str) -> None:
    samples = folder / "samples"
    if not samples.exists():
        samples.mkdir()
        (samples / "test.npy").write_bytes(b"x")
        manifest.write(samples, "samples", {}, {}, {})
    flags = {
        "dataset": dataset,
        "samples": samples,
        "role": ROLE,
        "train-image": "registry/ncf-train:1",
        "s3-prefix": PREFIX,
        "run-id": run,
        **{name: folder / run / name for name in ("trained-model", "model-uri", "summary", "metrics")},
    }
    execution.run(Train, [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more])


@contextlib.contextmanager
def left_behind(account: Any, folder: Path, dataset: Path, run: str) -> Iterator[str]:
    """The name of a job whose launcher is gone; it is stopped in the end."""
    client = boto3.client("sagemaker")
    account.faults.add("hold", "ncf-train", state="Starting", seconds=60)
    gone = patch.object(training_job._Job, "follow", side_effect=RemoteError("the launcher is gone"))
    with gone, contextlib.suppress(RemoteError):
        train(folder, dataset, run)
    (job,) = client.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
    yield job["TrainingJobName"]
    if status(job["TrainingJobName"]) == "InProgress":
        client.stop_training_job(TrainingJobName=job["TrainingJobName"])
    for _ in range(200):
        if status(job["TrainingJobName"]) == "Stopped":
            break
        time.sleep(0.05)


def tags_of(job: str) -> dict[str, str]:
    client = boto3.client("sagemaker")
    arn = client.describe_training_job(TrainingJobName=job)["TrainingJobArn"]
    return {tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}


def run_of(job: str) -> str:
    return tags_of(job)[RUN_TAG]


def status(job: str) -> str:
    return str(boto3.client("sagemaker").describe_training_job(TrainingJobName=job)["TrainingJobStatus"])


def job_of(account: Any, name: str) -> Any:
    """A training job of the stand-in."""
    return account._api._jobs.of({"TrainingJobName": name})
