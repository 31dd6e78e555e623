"""Training jobs that run: which there are, and how they are stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ncf.sagemaker.names import JOB_PREFIX, RUN_TAG, STAGE_TAG
from ncf.sagemaker.session import Aws, RefusedError
from ncf.sagemaker.tags import tags_of

CALLS = ("sagemaker:ListTrainingJobs", "sagemaker:StopTrainingJob")
"""What this module calls: permissions are made from it."""


@dataclass(frozen=True)
class RunningJob:
    """A training job in progress: its name, the run it belongs to, when it was created."""

    name: str
    run: str
    created: datetime


def running(aws: Aws, run: str = "", created_before: datetime | None = None) -> Iterator[RunningJob]:
    """Our training jobs in progress: by their tags, which a job of somebody else with such a name does not have.

    Args:
        aws: clients to call.
        run: only those of this run; '': of all.
        created_before: only those that were created before; None: all.
    """
    request: dict[str, Any] = {"StatusEquals": "InProgress", "NameContains": JOB_PREFIX}
    if created_before:
        request["CreationTimeBefore"] = created_before
    while True:
        answer = aws.call("sagemaker", "list_training_jobs", **request, MaxResults=100)
        for entry in answer["TrainingJobSummaries"]:
            tags = tags_of(aws, entry["TrainingJobArn"])
            if STAGE_TAG in tags and run in ("", tags.get(RUN_TAG)):
                yield RunningJob(entry["TrainingJobName"], tags.get(RUN_TAG, ""), entry["CreationTime"])
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def stop(aws: Aws, name: str) -> bool:
    """Stop a job; False if it has ended meanwhile."""
    try:
        aws.call("sagemaker", "stop_training_job", TrainingJobName=name)
    except RefusedError as error:
        if error.code == "ValidationException":
            return False
        raise
    return True
