"""Base of training and transform jobs, and the collection of jobs by name."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from components.local.aws.errors import ApiError, invalid

FINAL = ("Completed", "Failed", "Stopped")
_PAGE = 10


class Job(ABC):
    """A job, run in a thread.

    Args:
        request: request of the operation that creates the job.
        arn: ARN of the job.

    Attributes:
        kind: prefix of ``Name``, ``Arn`` and ``Status`` in the API.
        words: name of the kind in messages.
    """

    kind: ClassVar[str]
    words: ClassVar[str]

    def __init__(self, request: Mapping[str, Any], arn: str) -> None:
        self.request, self.arn = request, arn
        self._lock = threading.RLock()
        self._created = time.time()
        self._status, self._reason = "InProgress", ""
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"{self.words} {self.name}")

    @property
    def name(self) -> str:
        return str(self.request[f"{self.kind}Name"])

    @property
    def status(self) -> str:
        return self._status

    def start(self) -> None:
        self._thread.start()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def stop(self) -> None:
        """Request the end of the job.

        Raises:
            ApiError: if it has already ended.
        """
        if not self._stop():
            raise invalid(f"The request was rejected because the {self.words} is in status {self._status}.")

    @abstractmethod
    def _run(self) -> None: ...

    @abstractmethod
    def _stop(self) -> bool:
        """Request the end; False if the job has already ended."""

    @abstractmethod
    def close(self) -> None:
        """End the job without a result. The instances end its programs."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Answer of the operation that describes the job."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Entry of the job in a list."""


AnyJob = TypeVar("AnyJob", bound=Job)


class Jobs(Generic[AnyJob]):
    """All jobs of a kind.

    Args:
        kind: class of the jobs.
    """

    def __init__(self, kind: type[AnyJob]) -> None:
        self._kind, self._by_name = kind, dict[str, AnyJob]()

    def __iter__(self) -> Iterator[AnyJob]:
        return iter(list(self._by_name.values()))

    def add(self, name: str, make: Callable[[], AnyJob]) -> AnyJob:
        """Create a job. The caller starts it, and holds a lock during this call.

        Args:
            name: name of the job.
            make: function that creates it.

        Raises:
            ApiError: if the name is taken.
        """
        if taken := self._by_name.get(name):
            raise ApiError(
                "ResourceInUse",
                f"{self._kind.words.capitalize()} names must be unique within an AWS account and region, and a "
                f"{self._kind.words} with this name already exists ({taken.arn})",
            )
        job = self._by_name[name] = make()
        return job

    def of(self, request: Mapping[str, Any]) -> AnyJob:
        """The job named in a request.

        Raises:
            ApiError: if it does not exist.
        """
        if job := self._by_name.get(request[f"{self._kind.kind}Name"]):
            return job
        raise invalid("Requested resource not found.")

    def list(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer of the operation that lists jobs."""
        kind = self._kind.kind
        shown = [
            entry
            for entry in (job.summary() for job in self)
            if all(is_within(entry[key], key, request) for key in ("CreationTime", "LastModifiedTime") if key in entry)
            and request.get("NameContains", "") in entry[f"{kind}Name"]
            and request.get("StatusEquals") in (None, entry[f"{kind}Status"])
        ]
        shown.sort(key=lambda entry: entry["CreationTime"], reverse=request.get("SortOrder") != "Ascending")
        return page(f"{kind}Summaries", shown, request)


def is_within(time: float, key: str, request: Mapping[str, Any]) -> bool:
    """Whether a time is between those of a request, such as ``CreationTimeAfter`` and ``CreationTimeBefore``."""
    return bool(request.get(f"{key}After", 0.0) <= time <= request.get(f"{key}Before", float("inf")))


def page(key: str, entries: Sequence[dict[str, Any]], request: Mapping[str, Any]) -> dict[str, Any]:
    """One page of a list, with the token of the next page, if any."""
    start = int(request.get("NextToken", 0))
    end = start + request.get("MaxResults", _PAGE)
    return {key: list(entries[start:end])} | ({"NextToken": str(end)} if end < len(entries) else {})
