"""Kinds of jobs: what the API calls them and their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RUNNING, ENDED = "InProgress", ("Completed", "Failed", "Stopped")
"""Status of a job in progress, and those of a job that has ended."""


@dataclass(frozen=True)
class JobKind:
    """A kind of job of SageMaker.

    Attributes:
        words: in messages, such as ``training job``.
        resource: in ARNs, such as ``training-job``.
        field: what the fields ``...Name``, ``...Arn`` and ``...Status`` of the API begin with, such as ``TrainingJob``.
        describe: boto3's method that describes a job.
        stop: boto3's method that stops one.
        list: boto3's method that lists jobs.
        page: of the jobs in the console.
        log_group: of their logs in CloudWatch; '' for none.
        started: field with the time at which the program started; '' for none.
    """

    words: str
    resource: str
    field: str
    describe: str
    stop: str
    list: str
    page: str
    log_group: str = ""
    started: str = ""

    def by_name(self, name: str) -> dict[str, Any]:
        """Arguments of an operation on a job."""
        return {f"{self.field}Name": name}

    def name_of(self, description: Mapping[str, Any]) -> str:
        return str(description[f"{self.field}Name"])

    def arn_of(self, description: Mapping[str, Any]) -> str:
        return str(description[f"{self.field}Arn"])

    def status_of(self, description: Mapping[str, Any]) -> str:
        return str(description[f"{self.field}Status"])
