"""An account on this machine that runs the image of another project, and the stages that start its jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3

from components.local.aws import LocalAws, Processes
from ncf import storage
from ncf.aws import session
from ncf.sagemaker.jobs import job
from ncf.stage import execution
from ncf.stage.declaration import Stage

ROLE = "arn:aws:iam::123456789012:role/other"
IMAGE = "registry.example/line:1"
BUCKET = "other"
PREFIX = f"s3://{BUCKET}/jobs"
RUNTIME = {"line": [sys.executable, str(Path(__file__).with_name("foreign_image.py"))]}
METRIC = {"loss": "validation_loss=([0-9.]+);"}


@contextmanager
def foreign_account(folder: Path) -> Iterator[LocalAws]:
    """A running account with a bucket and data; the environment leads all clients to it."""
    with (
        LocalAws(folder / "aws", Processes({}, RUNTIME), grace=5, start_seconds=10) as account,
        patch.dict("os.environ", account.environment),
        patch.object(session, "_POLL_SECONDS", (0.05, 0.2)),
        patch.object(job, "_SECONDS_UNTIL_LOG_SETTLES", 0.05),
    ):
        storage._client.cache_clear()
        account.create_bucket(BUCKET)
        put_data()
        yield account
    storage._client.cache_clear()


def put_data() -> None:
    """Two files of pairs ``x,2x+1`` under raw/, and the same as channels."""
    rows = [f"{x / 10},{2 * x / 10 + 1}" for x in range(10)]
    for key in ("raw/a.csv", "raw/b.csv", "train/a.csv", "validation/a.csv"):
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body="\n".join(rows).encode())


def run(stage: type[Stage], folder: Path, run_id: str, **given: Any) -> Path:
    """Run a stage as a command.

    Args:
        stage: its class.
        folder: for the outputs.
        run_id: ID of the run.
        given: parameters and input artifacts.

    Returns:
        The folder of the outputs, each of its name.
    """
    values = {"role": ROLE, "s3_prefix": PREFIX, "run_id": run_id, **given}
    values |= {name: folder / stage.name / name for name in stage.outputs()}
    flags = [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", _text(value))]
    execution.run(stage, flags)
    return folder / stage.name


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)


def train_parameters(**more: Any) -> dict[str, Any]:
    """Parameters of a training job of the image."""
    usual: Mapping[str, Any] = {
        "train_image": IMAGE,
        "channels": {"train": f"s3://{BUCKET}/train/", "validation": f"s3://{BUCKET}/validation/"},
        "hyperparameters": {"rate": 0.3, "epochs": 3},
        "metric_definitions": METRIC,
    }
    return {**usual, **more}


def names_of(kind: str) -> list[str]:
    """Names of all jobs of a kind, such as ``training_jobs``, the oldest first."""
    client = boto3.client("sagemaker")
    answer = getattr(client, f"list_{kind}")(MaxResults=100, SortOrder="Ascending")
    (summaries,) = (value for value in answer.values() if isinstance(value, list))
    return [next(value for key, value in entry.items() if key.endswith("JobName")) for entry in summaries]
