"""Trials of a tuning job: their results, and their logs as one log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ncf.aws.logs import LogReader, excerpt
from ncf.aws.session import Aws
from ncf.sagemaker.jobs.kind import ENDED
from ncf.sagemaker.jobs.plan import elapsed
from ncf.sagemaker.training.kind import TRAINING

CALLS = ("sagemaker:ListTrainingJobsForHyperParameterTuningJob",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_TAIL_LINES = 20
_SECONDS_BETWEEN_LISTINGS = 15.0
_READS_AFTER_END = 3
"""Reads of a trial's log after its end, as its last lines arrive later."""


@dataclass(frozen=True)
class Trial:
    """A training job of a tuning job.

    Attributes:
        name: of the job.
        status: SageMaker's.
        hyperparameters: those that are tuned.
        objective: its value; None without one.
        seconds: from its start to its end; None for others.
        reason: SageMaker's, of a failure.
    """

    name: str
    status: str
    hyperparameters: dict[str, str]
    objective: float | None
    seconds: float | None
    reason: str

    @classmethod
    def of(cls, summary: dict[str, Any]) -> Trial:
        """The trial of an entry in SageMaker's list."""
        metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric", {})
        return cls(
            summary["TrainingJobName"],
            summary["TrainingJobStatus"],
            dict(summary["TunedHyperParameters"]),
            metric.get("Value"),
            elapsed(summary.get("TrainingStartTime"), summary.get("TrainingEndTime")),
            " ".join(summary.get("FailureReason", "").split()),
        )

    def text(self) -> str:
        """The result in a line."""
        tuned = ", ".join(f"{name}={value}" for name, value in self.hyperparameters.items())
        value = "no objective" if self.objective is None else f"objective {self.objective:g}"
        return f"{self.name} {self.status}: {value}; {tuned}{f'; {self.reason}' if self.reason else ''}"


def trials(aws: Aws, name: str) -> Iterator[Trial]:
    """Trials of a tuning job, the oldest first."""
    operation = "list_training_jobs_for_hyper_parameter_tuning_job"
    asked: dict[str, Any] = {
        "HyperParameterTuningJobName": name,
        "SortBy": "CreationTime",
        "SortOrder": "Ascending",
        "MaxResults": 100,
    }
    for page in aws.pages("sagemaker", operation, **asked):
        yield from map(Trial.of, page["TrainingJobSummaries"])


class TrialLog:
    """Logs of all trials. Each line begins with the number of its trial, and each trial ends with its result.

    Attributes:
        tail: the last lines.
    """

    def __init__(self, aws: Aws, name: str, hosts: int) -> None:
        """
        Args:
            aws: clients to call.
            name: of the tuning job.
            hosts: number of hosts of a trial.
        """
        self._aws, self._name, self._hosts = aws, name, hosts
        self._readers: dict[str, LogReader] = {}
        self._reads_left: dict[str, int] = {}
        self._listed_at = float("-inf")
        self._found: list[Trial] = []
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def read(self, write: Callable[[str], None] | None = None, list_streams: bool = False) -> int:
        """Read the new lines, as :meth:`ncf.aws.logs.LogReader.read` does.

        Args:
            write: is called with each line.
            list_streams: whether to list the trials now; by default they are listed every 15 s.

        Returns:
            Number of lines.
        """
        if list_streams or write is None or time.monotonic() > self._listed_at + _SECONDS_BETWEEN_LISTINGS:
            self._listed_at = time.monotonic()
            self._found = list(trials(self._aws, self._name))
        return sum(self._read_trial(trial, write) for trial in self._found)

    def _read_trial(self, trial: Trial, write: Callable[[str], None] | None) -> int:
        left = self._reads_left.setdefault(trial.name, _READS_AFTER_END)
        if not left:
            return 0
        if trial.name not in self._readers:
            self._readers[trial.name] = LogReader(self._aws, TRAINING.log_group, f"{trial.name}/", self._hosts)
        number = trial.name.removeprefix(f"{self._name}-").partition("-")[0]
        count = self._readers[trial.name].read(lambda line: self._pass_on(f"{number} | {line}", write))
        if trial.status not in ENDED:
            return count
        if left == _READS_AFTER_END:
            self._pass_on(trial.text(), write)
        self._reads_left[trial.name] = left - 1
        return count + 1  # its log is read again

    def _pass_on(self, line: str, write: Callable[[str], None] | None) -> None:
        self.tail.append(line)
        if write:
            write(line)

    def excerpt(self, source: str) -> str:
        """The last lines under a heading, as :meth:`ncf.aws.logs.LogReader.excerpt`."""
        return excerpt(source, self.tail)
