"""Training jobs of ours: which there are, and how they are stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ncf.sagemaker.names import JOB_PREFIX, RUN_TAG, STAGE_TAG
from ncf.sagemaker.session import Aws, RefusedError
from ncf.sagemaker.tags import tags_of

CALLS = ("sagemaker:ListTrainingJobs", "sagemaker:StopTrainingJob")
"""What this module calls: permissions are made from it."""


@dataclass(frozen=True)
class OwnJob:
    """A training job of ours: its name, the run it belongs to, when it was created."""

    name: str
    run: str
    created: datetime


def running(aws: Aws, run: str = "", created_before: datetime | None = None) -> Iterator[OwnJob]:
    """Our training jobs in progress: by their tags, which a job of somebody else with such a name does not have.

    Args:
        aws: clients to call.
        run: only those of this run; '': of all.
        created_before: only those that were created before; None: all.
    """
    more = {"CreationTimeBefore": created_before} if created_before else {}
    return _listed(aws, run, {"StatusEquals": "InProgress", **more})


def changed_after(aws: Aws, run: str, time: datetime) -> Iterator[OwnJob]:
    """The training jobs of a run, in progress or not, whose status has changed after some time."""
    return _listed(aws, run, {"LastModifiedTimeAfter": time})


def _listed(aws: Aws, run: str, filters: Mapping[str, Any]) -> Iterator[OwnJob]:
    request: dict[str, Any] = {**filters, "NameContains": JOB_PREFIX, "MaxResults": 100}
    while True:
        answer = aws.call("sagemaker", "list_training_jobs", **request)
        for entry in answer["TrainingJobSummaries"]:
            tags = tags_of(aws, entry["TrainingJobArn"])
            if STAGE_TAG in tags and run in ("", tags.get(RUN_TAG)):
                yield OwnJob(entry["TrainingJobName"], tags.get(RUN_TAG, ""), entry["CreationTime"])
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
