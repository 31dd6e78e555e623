"""Training jobs of this project, listed by their tags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ncf.aws.names import JOB_PREFIX, RUN_TAG, STAGE_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of

CALLS = ("sagemaker:ListTrainingJobs",)
"""AWS calls of this module, from which the IAM permissions are generated."""


@dataclass(frozen=True)
class OwnJob:
    """A training job of this project: name, ARN, run and time of creation."""

    name: str
    arn: str
    run: str
    created: datetime


def running(aws: Aws, run: str = "", created_before: datetime | None = None) -> Iterator[OwnJob]:
    """The training jobs in progress. Jobs of other owners with similar names lack the tags.

    Args:
        aws: clients to call.
        run: whose jobs are listed; '' for all runs.
        created_before: upper bound of the time of creation; None for any.
    """
    bound = {"CreationTimeBefore": created_before} if created_before else {}
    return _listed(aws, run, StatusEquals="InProgress", **bound)


def changed_after(aws: Aws, run: str, time: datetime) -> Iterator[OwnJob]:
    """The training jobs of a run whose status has changed after a time."""
    return _listed(aws, run, LastModifiedTimeAfter=time)


def _listed(aws: Aws, run: str, **filters: Any) -> Iterator[OwnJob]:
    for page in aws.pages("sagemaker", "list_training_jobs", **filters, NameContains=JOB_PREFIX, MaxResults=100):
        for entry in page["TrainingJobSummaries"]:
            name, arn = entry["TrainingJobName"], entry["TrainingJobArn"]
            tags = tags_of(aws, arn)
            if STAGE_TAG in tags and run in ("", tags.get(RUN_TAG)):
                yield OwnJob(name, arn, tags.get(RUN_TAG, ""), entry["CreationTime"])
