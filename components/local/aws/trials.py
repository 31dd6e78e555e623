"""Trials of a tuning job: training jobs, their objectives, and how the API shows them."""

from __future__ import annotations

import statistics
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from components.local.aws.jobs import FINAL
from components.local.aws.training import TrainingJob

_INTERNAL = "InternalServerError"
_TIMES = ("TrainingStartTime", "TrainingEndTime")
_SORTED_BY: Mapping[str, str] = {"CreationTime": "CreationTime", "Status": "TrainingJobStatus"}


class Trial:
    """A training job of a tuning job.

    Attributes:
        job: the training job.
        tuned: hyperparameters that the tuning job has chosen.
        description: of the job, at its end; empty before.
    """

    def __init__(self, job: TrainingJob, tuned: Mapping[str, str]) -> None:
        self.job, self.tuned = job, tuned
        self.description: Mapping[str, Any] = {}

    @property
    def status(self) -> str:
        """Status of a trial that has ended; '' of another."""
        return str(self.description.get("TrainingJobStatus", ""))


class Trials:
    """All trials of a tuning job.

    Args:
        objective: ``HyperParameterTuningJobObjective`` of the request.
    """

    def __init__(self, objective: Mapping[str, str]) -> None:
        self._metric, self._type = objective["MetricName"], objective["Type"]
        self._sign = 1 if self._type == "Maximize" else -1
        self._lock = threading.RLock()
        self._all: list[Trial] = []

    def __len__(self) -> int:
        return len(self._all)

    def add(self, trial: Trial) -> None:
        with self._lock:
            self._all.append(trial)

    def running(self) -> list[Trial]:
        """Those in progress, after the others are noted as ended."""
        with self._lock:
            for trial in self._all:
                if not trial.description and trial.job.status in FINAL:
                    trial.description = trial.job.describe()
            return [trial for trial in self._all if not trial.description]

    def ended(self) -> list[Trial]:
        with self._lock:
            return [trial for trial in self._all if trial.description]

    def objective(self, trial: Trial) -> float | None:
        """Last value of the objective of a trial that has ended; None for others. A stopped trial counts, too."""
        values = trial.job.metrics.values(self._metric)
        return values[-1] if values and trial.status in ("Completed", "Stopped") else None

    def best(self) -> Trial | None:
        """The first of the best; None if no trial has an objective."""
        with self._lock:
            found = [(self.objective(trial), trial) for trial in self._all]
        scores = [(self._sign * value, trial) for value, trial in found if value is not None]
        return max(scores, key=lambda entry: entry[0])[1] if scores else None

    def is_poor(self, trial: Trial) -> bool:
        """Whether a trial is worse than the median of the running averages of the completed trials, at the same value.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html
        """
        values = trial.job.metrics.values(self._metric)
        completed = [other.job.metrics.values(self._metric) for other in self.ended() if other.status == "Completed"]
        averages = [statistics.fmean(other[: len(values)]) for other in completed if len(other) >= len(values) > 0]
        if not averages:
            return False
        return max(self._sign * value for value in values) < self._sign * statistics.median(averages)

    def describe(self) -> dict[str, Any]:
        """Fields about the trials in the description of the tuning job."""
        with self._lock:
            objectives = Counter(self._objective_status(trial) for trial in self._all)
            found = Counter(trial.status or "InProgress" for trial in self._all)
            internal = sum(_INTERNAL in trial.description.get("FailureReason", "") for trial in self._all)
            seconds = sum(trial.job.describe().get("TrainingTimeInSeconds", 0) for trial in self._all)
        shown: dict[str, Any] = {
            "TrainingJobStatusCounters": {
                "Completed": found["Completed"],
                "InProgress": found["InProgress"],
                "RetryableError": internal,
                "NonRetryableError": found["Failed"] - internal,
                "Stopped": found["Stopped"],
            },
            "ObjectiveStatusCounters": {name: objectives[name] for name in ("Succeeded", "Pending", "Failed")},
            "ConsumedResources": {"RuntimeInSeconds": seconds},
        }
        best = self.best()
        return shown | ({"BestTrainingJob": self._summary(best)} if best else {})

    def list(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Summaries, filtered and sorted as a request of ListTrainingJobsForHyperParameterTuningJob asks."""
        with self._lock:
            found = [self._summary(trial) for trial in self._all]
        found = [entry for entry in found if request.get("StatusEquals") in (None, entry["TrainingJobStatus"])]
        if request.get("SortBy") == "FinalObjectiveMetricValue":
            metric = "FinalHyperParameterTuningJobObjectiveMetric"
            found = [entry for entry in found if metric in entry]
            found.sort(key=lambda entry: entry[metric]["Value"])
        else:
            key = _SORTED_BY.get(request.get("SortBy", ""), "TrainingJobName")
            found.sort(key=lambda entry: entry[key])
        return found[::-1] if request.get("SortOrder") == "Descending" else found

    def _objective_status(self, trial: Trial) -> str:
        if not trial.description:
            return "Pending"
        return "Failed" if self.objective(trial) is None else "Succeeded"

    def _summary(self, trial: Trial) -> dict[str, Any]:
        described = trial.description or trial.job.describe()
        summary = {
            **{key: described[key] for key in ("TrainingJobName", "TrainingJobArn", "CreationTime")},
            **{key: described[key] for key in (*_TIMES, "FailureReason") if key in described},
            "TrainingJobStatus": described["TrainingJobStatus"],
            "TunedHyperParameters": dict(trial.tuned),
            "ObjectiveStatus": self._objective_status(trial),
        }
        if (value := self.objective(trial)) is not None:
            objective = {"Type": self._type, "MetricName": self._metric, "Value": value}
            summary["FinalHyperParameterTuningJobObjectiveMetric"] = objective
        return summary
