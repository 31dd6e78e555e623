"""Training jobs that run: which there are, and how they are stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ncf.sagemaker.names import JOB_PREFIX, LEFT_TAG, RUN_TAG, STAGE_TAG, tag_list
from ncf.sagemaker.session import Aws, RefusedError
from ncf.sagemaker.tags import tags_of

CALLS = ("sagemaker:AddTags", "sagemaker:ListTrainingJobs", "sagemaker:StopTrainingJob")
"""What this module calls: permissions are made from it."""


@dataclass(frozen=True)
class RunningJob:
    """A training job in progress: its name and ARN, the run it belongs to, when it was created."""

    name: str
    arn: str
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
                yield RunningJob(
                    entry["TrainingJobName"], entry["TrainingJobArn"], tags.get(RUN_TAG, ""), entry["CreationTime"]
                )
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def mark_left(aws: Aws, arn: str, by: str, patience: float | None = None) -> None:
    """Note on a job that nobody waits for it any more: where it is stopped then, another try of its run buys the next.

    To be called before the job is stopped. One that is stopped without the mark ends its run for good.

    Args:
        aws: clients to call.
        arn: of the job.
        by: who leaves it.
        patience: seconds, as for :meth:`Aws.call`.
    """
    tags = tag_list({LEFT_TAG: f"{by} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"})
    aws.call("sagemaker", "add_tags", patience, ResourceArn=arn, Tags=tags)


def stop(aws: Aws, name: str, patience: float | None = None) -> bool:
    """Stop a job; False if it has ended meanwhile."""
    try:
        aws.call("sagemaker", "stop_training_job", patience, TrainingJobName=name)
    except RefusedError as error:
        if error.code == "ValidationException":
            return False
        raise
    return True
