"""Training jobs of ours: which there are, and how they are stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ncf.aws.names import JOB_PREFIX, LEFT_TAG, RUN_TAG, STAGE_TAG, tag_list
from ncf.aws.session import Aws, RefusedError
from ncf.aws.tags import tags_of

CALLS = ("sagemaker:AddTags", "sagemaker:DeleteTags", "sagemaker:ListTrainingJobs", "sagemaker:StopTrainingJob")
"""What this module calls: permissions are made from it."""


_TIME = "%Y-%m-%dT%H:%M:%S%z"


@dataclass(frozen=True)
class OwnJob:
    """A training job of ours: its name and ARN, the run it belongs to, when it was created."""

    name: str
    arn: str
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
                yield OwnJob(
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
    tags = tag_list({LEFT_TAG: f"{by} {datetime.now(UTC).strftime(_TIME)}"})
    aws.call("sagemaker", "add_tags", patience, ResourceArn=arn, Tags=tags)


def when_left(aws: Aws, arn: str) -> datetime | None:
    """When a job was marked as left; None if it bears no such mark."""
    _, _, time = tags_of(aws, arn).get(LEFT_TAG, "").partition(" ")
    try:
        return datetime.strptime(time, _TIME)
    except ValueError:
        return None


def unmark(aws: Aws, arn: str) -> None:
    """Take the mark off a job that goes on after all."""
    aws.call("sagemaker", "delete_tags", ResourceArn=arn, TagKeys=[LEFT_TAG])


def stop(aws: Aws, name: str, patience: float | None = None) -> bool:
    """Stop a job; False if it has ended meanwhile."""
    try:
        aws.call("sagemaker", "stop_training_job", patience, TrainingJobName=name)
    except RefusedError as error:
        if error.code == "ValidationException":
            return False
        raise
    return True
