"""Jobs of this project, listed by their names and tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ncf.aws.names import NAMESPACE_TAG, RUN_TAG, STAGE_TAG, has_prefix
from ncf.aws.session import Aws
from ncf.aws.tags import readable_tags
from ncf.sagemaker.jobs.kind import JobKind
from ncf.sagemaker.jobs.stopping import abandoned_at

_LIMIT_DELAY = timedelta(minutes=15)
"""Time within which SageMaker has stopped a job that has reached its limit."""


@dataclass(frozen=True)
class Owner:
    """Owner of jobs. An account may have several, each with jobs of its own.

    Attributes:
        job_prefix: of the names of its jobs.
        namespace: of its pods; '' for jobs that were started outside a cluster.
    """

    job_prefix: str
    namespace: str

    def has(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether a job belongs to the owner."""
        of_stage = STAGE_TAG in tags and tags.get(NAMESPACE_TAG, "") == self.namespace
        return has_prefix(name, self.job_prefix) and of_stage


@dataclass(frozen=True)
class OwnJob:
    """A job of an owner: its name, its ARN, its run, and when its launcher has abandoned it, if it has."""

    name: str
    arn: str
    run: str
    abandoned: datetime | None


def running(aws: Aws, kind: JobKind, owner: Owner, run: str = "") -> Iterator[OwnJob]:
    """The jobs of a kind in progress, including spot jobs that wait for instances.

    Args:
        aws: clients to call.
        kind: of the jobs.
        owner: of the jobs.
        run: whose jobs are listed; '' for all runs.
    """
    return _listed(aws, kind, owner, run, StatusEquals="InProgress")


def changed_after(aws: Aws, kind: JobKind, owner: Owner, run: str, time: datetime) -> Iterator[OwnJob]:
    """The jobs of a kind of a run whose status has changed after a time."""
    return _listed(aws, kind, owner, run, LastModifiedTimeAfter=time)


def _listed(aws: Aws, kind: JobKind, owner: Owner, run: str, **filters: Any) -> Iterator[OwnJob]:
    """Own jobs. SageMaker lists the jobs of the whole account, and finds the prefix anywhere in a name."""
    for page in aws.pages("sagemaker", kind.list, **filters, NameContains=owner.job_prefix, MaxResults=100):
        for entry in page[f"{kind.field}Summaries"]:
            name, arn = kind.name_of(entry), kind.arn_of(entry)
            if not has_prefix(name, owner.job_prefix):
                continue  # of another owner: reading its tags would be denied
            tags = readable_tags(aws, arn)
            if owner.has(name, tags) and run in ("", tags.get(RUN_TAG)):
                yield OwnJob(name, arn, tags.get(RUN_TAG, ""), abandoned_at(tags))


def overdue(
    kind: JobKind, description: Mapping[str, Any], abandoned: datetime | None, age: timedelta, now: datetime
) -> str:
    """Reason to stop a job in progress; '' if its launcher may still wait for it.

    A job that waits for instances does not age. A job ages from the start of its program. Transform and tuning
    jobs have no time limit.

    Args:
        kind: of the job.
        description: SageMaker's description of it.
        abandoned: time at which its launcher has abandoned it; None if it has not.
        age: time from which on a job is stopped.
        now: the present time.
    """
    if abandoned and now - abandoned >= age:
        return f"abandoned by its launcher {_hours(now - abandoned)} ago"
    started, limits = description.get(kind.started), description.get("StoppingCondition", {})
    if wait := limits.get("MaxWaitTimeInSeconds"):  # counts from the creation, waiting included
        parameter, end = "max_wait_time", description["CreationTime"] + timedelta(seconds=wait)
    elif started and limits:
        parameter, end = "max_run_time", started + timedelta(seconds=limits["MaxRuntimeInSeconds"])
    else:
        return ""
    is_old = now - (started or description["CreationTime"]) >= age
    return f"past its '{parameter}' by {_hours(now - end)}" if is_old and now - end >= _LIMIT_DELAY else ""


def _hours(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 3600:.1f} h"
