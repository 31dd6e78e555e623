"""Stopping of jobs, and the tag of an abandoned job, after which a retry of the run starts another one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ncf.aws.errors import RefusedError
from ncf.aws.names import ABANDONED_TAG, tag_list
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.sagemaker.jobs.kind import JobKind

CALLS = ("sagemaker:AddTags",)
"""AWS calls of this module, from which the IAM permissions are generated. Those of a kind are in its own module."""

_TIME = "%Y-%m-%dT%H:%M:%S%z"


def mark_abandoned(aws: Aws, arn: str, by: str, patience: float | None = None) -> None:
    """Tag a job as abandoned: if it is stopped, a retry of its run starts another one.

    Without the tag, a stopped job fails every retry of its run. So the tag is set before the job is stopped.

    Args:
        aws: clients to call.
        arn: of the job.
        by: program that abandons the job.
        patience: seconds, as of :meth:`Aws.call`.
    """
    tags = tag_list({ABANDONED_TAG: f"{by} {datetime.now(UTC).strftime(_TIME)}"})
    aws.call("sagemaker", "add_tags", patience, ResourceArn=arn, Tags=tags)


def is_abandoned(aws: Aws, arn: str) -> bool:
    """Whether a job has the tag."""
    return ABANDONED_TAG in tags_of(aws, arn)


def abandoned_at(tags: Mapping[str, str]) -> datetime | None:
    """Time at which a job was abandoned, by its tags; None if it was not."""
    _, _, time = tags.get(ABANDONED_TAG, "").partition(" ")
    try:
        return datetime.strptime(time, _TIME)
    except ValueError:
        return None


def stop(aws: Aws, kind: JobKind, name: str, patience: float | None = None) -> bool:
    """Stop a job.

    Args:
        aws: clients to call.
        kind: of the job.
        name: of the job.
        patience: seconds, as of :meth:`Aws.call`.

    Returns:
        False if the job has ended, or does not exist.
    """
    try:
        aws.call("sagemaker", kind.stop, patience, **kind.by_name(name))
    except RefusedError as error:
        if error.code == "ValidationException" or error.says_missing:
            return False
        raise
    return True
