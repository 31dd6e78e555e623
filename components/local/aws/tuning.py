"""A hyperparameter tuning job: training jobs with different hyperparameters, and the best of them.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-how-it-works.html
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from components.local.aws.faults import Faults
from components.local.aws.jobs import FINAL, Job
from components.local.aws.training import TrainingJob
from components.local.aws.trials import Trial, Trials
from components.local.aws.tuning_rules import candidates

STATE = "InProgress"
"""The only state of the job for faults."""
_LOOK_SECONDS = 0.05
_TOLERATED_FAILURES = 5
_OBJECTIVE = "_tuning_objective_metric"
"""Hyperparameter that SageMaker adds to those of each trial."""
_NOT_OF_TRIALS = {"StaticHyperParameters", "DefinitionName", "RetryStrategy"}
"""Fields of the definition that a training job does not have."""


class TuningJob(Job):
    """A hyperparameter tuning job.

    States: InProgress, then Completed or Failed; Stopping and Stopped after a stop request.

    Args:
        request: request of CreateHyperParameterTuningJob, which is valid.
        arn: ARN of the job.
        train: function that starts a training job, given its request.
        faults: faults to inject.

    Attributes:
        trials: the training jobs.
    """

    kind, words = "HyperParameterTuningJob", "hyperparameter tuning job"

    def __init__(
        self,
        request: Mapping[str, Any],
        arn: str,
        train: Callable[[Mapping[str, Any]], TrainingJob],
        faults: Faults,
    ) -> None:
        super().__init__(request, arn)
        self._train, self._faults = train, faults
        self._config = request["HyperParameterTuningJobConfig"]
        self.trials = Trials(self._config["HyperParameterTuningJobObjective"])
        self._stopping = False
        self._ended = 0.0

    def _stop(self) -> bool:
        with self._lock:
            if self._status in FINAL:
                return False
            self._status, self._stopping = "Stopping", True
        return True

    def close(self) -> None:
        self._stopping = True

    def _run(self) -> None:
        try:
            reason = self._tune()
        except Exception as error:
            reason = f"InternalServerError: {error!r}"
        for trial in self.trials.running():
            trial.job._stop()
        while self.trials.running():
            time.sleep(_LOOK_SECONDS)
        with self._lock:
            self._reason = "" if self._stopping else reason
            self._status = "Stopped" if self._stopping else "Failed" if reason else "Completed"
            self._ended = time.time()

    def _tune(self) -> str:
        """Run the trials.

        Returns:
            Reason of a failure; '' for none.
        """
        if held := self._faults.take("hold", self.name, STATE):
            end = time.monotonic() + held.seconds
            self._wait(lambda: time.monotonic() > end)
        if failing := self._faults.take("fail", self.name, STATE):
            return failing.reason
        parallel = self._config["ResourceLimits"]["MaxParallelTrainingJobs"]
        for tuned in candidates(self._config, self.name):
            self._wait(lambda: self._in_progress() < parallel)
            reason = self._hopeless()
            if self._stopping or reason:
                return reason
            self._start(tuned)
        self._wait(lambda: self._in_progress() == 0)
        return self._hopeless(is_over=True)

    def _wait(self, is_over: Callable[[], bool]) -> None:
        while not self._stopping and not is_over():
            time.sleep(_LOOK_SECONDS)

    def _start(self, tuned: Mapping[str, str]) -> None:
        number = len(self.trials) + 1
        digits = hashlib.sha256(f"{self.arn} {number}".encode()).hexdigest()[:8]
        definition = self.request["TrainingJobDefinition"]
        request = {
            **{key: value for key, value in definition.items() if key not in _NOT_OF_TRIALS},
            "TrainingJobName": f"{self.name}-{number:03}-{digits}",
            "TuningJobArn": self.arn,
            "HyperParameters": {
                **definition.get("StaticHyperParameters", {}),
                **tuned,
                _OBJECTIVE: self._config["HyperParameterTuningJobObjective"]["MetricName"],
            },
            "Tags": self.request.get("Tags", []),
        }
        self.trials.add(Trial(self._train(request), tuned))

    def _in_progress(self) -> int:
        """Number of trials in progress, after the poor ones are stopped."""
        running = self.trials.running()
        if self._config.get("TrainingJobEarlyStoppingType") == "Auto":
            for trial in running:
                if self.trials.is_poor(trial):
                    trial.job._stop()
        return len(running)

    def _hopeless(self, is_over: bool = False) -> str:
        """Reason to fail, if no trial has succeeded after several; '' for none."""
        ended = self.trials.ended()
        if not (is_over or len(ended) >= _TOLERATED_FAILURES) or self.trials.best():
            return ""
        if any(trial.status == "Completed" for trial in ended):
            return (
                f"No objective metrics found after running {len(ended)} training jobs. Please ensure that the custom "
                "algorithm is emitting the objective metric as defined by the regular expression provided."
            )
        return (
            f"No training job succeeded after {len(ended)} attempts. For additional details, please take a look at the "
            "training job failures by listing training jobs for the hyperparameter tuning job."
        )

    def describe(self) -> dict[str, Any]:
        with self._lock:
            answer = {key: value for key, value in self.request.items() if key != "Tags"} | {
                "HyperParameterTuningJobArn": self.arn,
                "HyperParameterTuningJobStatus": self._status,
                "CreationTime": self._created,
                "LastModifiedTime": self._ended or time.time(),
                **self.trials.describe(),
            }
            more = {"FailureReason": self._reason, "HyperParameterTuningEndTime": self._ended}
            return answer | {key: value for key, value in more.items() if value}

    def summary(self) -> dict[str, Any]:
        answer = self.describe()
        times = ("CreationTime", "LastModifiedTime", "HyperParameterTuningEndTime")
        counters = ("TrainingJobStatusCounters", "ObjectiveStatusCounters")
        own = [f"{self.kind}{field}" for field in ("Name", "Arn", "Status")]
        return {
            **{key: answer[key] for key in (*own, *times, *counters) if key in answer},
            "Strategy": self._config["Strategy"],
            "ResourceLimits": self._config["ResourceLimits"],
        }
