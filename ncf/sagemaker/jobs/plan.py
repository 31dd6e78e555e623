"""Plan of a job: its name, and the request that creates it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from ncf.aws.bounds import check_request
from ncf.aws.logs import LogReader
from ncf.aws.names import RUN_TAG, STAGE_TAG, hashed_name, tag_list
from ncf.aws.namespace import namespace_tags
from ncf.aws.session import Aws
from ncf.sagemaker.jobs.kind import JobKind
from ncf.sagemaker.jobs.settings import InstanceSettings

_NOT_IN_NAME = {"job_prefix", "max_attempts", "price_per_hour", "profile", "run_id", "s3_prefix"}


class Log(Protocol):
    """Log of a job, as of :class:`ncf.aws.logs.LogReader`."""

    tail: Any

    def read(self, write: Any = None, list_streams: bool = False) -> int: ...
    def excerpt(self, source: str) -> str: ...


@dataclass(frozen=True)
class Plan(ABC):
    """A job of a run.

    Attributes:
        kind: of the job.
        operation: of the API that creates it, as boto3's method.
        parameters: path in the request -> the parameter that it is made of.
        verb: name of what the job does, in its figures.
        priced_as: kind of instance in AWS's price list.
        names_new: whether the request names a resource that was created just before.
        name: of the first attempt's job; see :func:`job_name`.
        run: that the job belongs to.
        settings: of the job.
    """

    kind: ClassVar[JobKind]
    operation: ClassVar[str]
    parameters: ClassVar[Mapping[str, str]]
    verb: ClassVar[str]
    priced_as: ClassVar[str]
    names_new: ClassVar[bool] = False

    name: str
    run: str
    settings: InstanceSettings

    @property
    @abstractmethod
    def stage(self) -> str:
        """Command of the stage that starts the job."""

    @property
    @abstractmethod
    def image_parameter(self) -> tuple[str, str]:
        """The parameter of the image, and its value; both '' without an image."""

    @abstractmethod
    def request(self, attempt: int) -> dict[str, Any]:
        """Arguments of the operation that creates the job of an attempt."""

    @abstractmethod
    def written_to(self, described: Mapping[str, Any]) -> str:
        """S3 URI that a job writes its output artifacts to, by a request or a description of it; '' for none."""

    @abstractmethod
    def seconds(self, description: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """Running time and billable time of a job that has ended, each None if it is not known."""

    def job_name(self, attempt: int) -> str:
        """Name of an attempt's job. The first attempt is 1."""
        return self.name if attempt == 1 else f"{self.name}-{attempt}"

    def job_arn(self, attempt: int, region: str) -> str:
        """ARN of an attempt's job, without a call to AWS: the job is in the account of its role."""
        _, partition, _, _, account, _ = self.settings.role.split(":", 5)
        name = self.job_name(attempt).lower()
        return f"arn:{partition}:sagemaker:{region}:{account}:{self.kind.resource}/{name}"

    def tags(self) -> list[dict[str, str]]:
        """Tags of the job, in the form of the API."""
        own = {RUN_TAG: self.run, STAGE_TAG: self.stage}
        return tag_list({**self.settings.tags, **namespace_tags(), **own})

    def check(self, aws: Aws, names: Mapping[str, str] = MappingProxyType({})) -> None:
        """Refuse a plan that SageMaker would refuse. Nothing is called.

        Args:
            aws: whose service model is read.
            names: parameter -> its name in messages, if that is another one.

        Raises:
            InputError: naming the parameter, its value and what is accepted.
        """
        parameters = {path: names.get(parameter, parameter) for path, parameter in self.parameters.items()}
        operation = aws.client("sagemaker").meta.method_to_api_mapping[self.operation]
        check_request(aws, operation, self.request(self.settings.max_attempts), parameters)

    def run_folder(self) -> str:
        """S3 URI of the run's folder, under which KFP has a folder for each try; '' if the output is a staged copy."""
        before, is_of_run, _ = self.written_to(self.request(1)).partition(f"/{self.run}/")
        return f"{before}/{self.run}" if is_of_run else ""

    def log(self, aws: Aws, name: str) -> Log:
        """Reader of the log of a job."""
        return LogReader(aws, self.kind.log_group, f"{name}/", self.settings.instance_count)

    def phase(self, description: Mapping[str, Any]) -> str:
        """State of a job within its status."""
        return self.kind.status_of(description)

    def rounds(self, description: Mapping[str, Any]) -> object:
        """What changes when the job writes new logs: the number of times that it has started to run on instances."""
        return sum(entry["Status"] == "Training" for entry in description.get("SecondaryStatusTransitions", ()))

    def reached_limit(self, description: Mapping[str, Any]) -> str:
        """The parameter of the time limit that a job has reached; '' for none."""
        started, limit = self.seconds(description)[0], getattr(self.settings, "max_run_time", 0)
        is_stopped = self.kind.status_of(description) == "Stopped"
        return "max_run_time" if is_stopped and limit and started and started >= limit else ""


def elapsed(start: datetime | None, end: datetime | None) -> int | None:
    """Whole seconds between two times, as they are billed; None if one of them is missing."""
    return math.ceil((end - start).total_seconds()) if start and end else None


def job_name(settings: InstanceSettings, stage: str, run: str, content: Mapping[str, Any], reserved: int = 0) -> str:
    """Name of a run's first job. A retry of the run has the same name, although KFP changes its output URIs.

    Args:
        settings: all count, except those of the staging, the retries and the cost estimate; the prefix of the name.
        stage: command of the stage.
        run: ID of the run.
        content: what else makes another job: inputs, hyperparameters, commands. JSON-serialisable.
        reserved: number of characters to leave out of SageMaker's longest name.
    """
    own = type(settings).model_fields
    chosen = settings.model_dump(mode="json", include=set(own) - _NOT_IN_NAME)
    return hashed_name(settings.job_prefix, {"run": run, "task": stage, "settings": chosen, **content}, reserved)
