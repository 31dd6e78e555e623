"""What training and transform jobs have in common: they run in a thread of their own, and are kept by name."""

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
    """A job from its request to its end.

    Args:
        request: as the operation that creates jobs of this kind got it.
        arn: of the job.

    Attributes:
        kind: before ``Name``, ``Arn`` and ``Status`` in the API.
        words: the kind in messages.
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
        """Ask for the end of the job.

        Raises:
            ApiError: if it has ended.
        """
        if not self._stop():
            raise invalid(f"The request was rejected because the {self.words} is in status {self._status}.")

    @abstractmethod
    def _run(self) -> None: ...

    @abstractmethod
    def _stop(self) -> bool:
        """Ask for the end; False if it has come before."""

    @abstractmethod
    def close(self) -> None:
        """Have the job end without a result; its programs are ended by who started them."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What describes the job in the API."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The job in a list."""


AnyJob = TypeVar("AnyJob", bound=Job)


class Jobs(Generic[AnyJob]):
    """All jobs of a kind.

    Args:
        kind: of the jobs.
    """

    def __init__(self, kind: type[AnyJob]) -> None:
        self._kind, self._by_name = kind, dict[str, AnyJob]()

    def __iter__(self) -> Iterator[AnyJob]:
        return iter(list(self._by_name.values()))

    def add(self, name: str, make: Callable[[], AnyJob]) -> AnyJob:
        """Make the job of a name; the caller starts it, and sees to it that one is added at a time.

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
        """The job that a request names.

        Raises:
            ApiError: if there is none.
        """
        if job := self._by_name.get(request[f"{self._kind.kind}Name"]):
            return job
        raise invalid("Requested resource not found.")

    def list(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of the operation that lists them."""
        kind, before = self._kind.kind, request.get("CreationTimeBefore", float("inf"))
        shown = [
            entry
            for entry in (job.summary() for job in self)
            if entry["CreationTime"] <= before
            and request.get("NameContains", "") in entry[f"{kind}Name"]
            and request.get("StatusEquals") in (None, entry[f"{kind}Status"])
        ]
        shown.sort(key=lambda entry: entry["CreationTime"], reverse=request.get("SortOrder") != "Ascending")
        return page(f"{kind}Summaries", shown, request)


def page(key: str, entries: Sequence[dict[str, Any]], request: Mapping[str, Any]) -> dict[str, Any]:
    """One page of a list; where more follow, with the token of the next one."""
    start = int(request.get("NextToken", 0))
    end = start + request.get("MaxResults", _PAGE)
    return {key: list(entries[start:end])} | ({"NextToken": str(end)} if end < len(entries) else {})
