"""Request of a hyperparameter tuning job.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateHyperParameterTuningJob.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ncf.aws.session import Aws
from ncf.sagemaker.training.plan import PARAMETERS, TrainingPlan
from ncf.sagemaker.tuning.kind import TUNING
from ncf.sagemaker.tuning.settings import Search, TuningSettings
from ncf.sagemaker.tuning.trials import TrialLog

CALLS = ("sagemaker:CreateHyperParameterTuningJob",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_CONFIG = "HyperParameterTuningJobConfig"
_COUNTERS = {
    "Completed": "completed",
    "InProgress": "in progress",
    "Stopped": "stopped",
    "RetryableError": "to be retried",
    "NonRetryableError": "failed",
}


@dataclass(frozen=True)
class TuningPlan(TrainingPlan):
    """A tuning job. Fields of a training job are those of its trials.

    Attributes:
        search: ranges and strategy.
    """

    kind = TUNING
    operation = "create_hyper_parameter_tuning_job"
    verb = "tuning"
    parameters = {
        "HyperParameterTuningJobName": "job_prefix",
        f"{_CONFIG}.ParameterRanges": "ranges",
        f"{_CONFIG}.HyperParameterTuningJobObjective": "metric_name",
        f"{_CONFIG}.ResourceLimits.MaxNumberOfTrainingJobs": "max_num_jobs",
        f"{_CONFIG}.ResourceLimits.MaxParallelTrainingJobs": "max_parallel_jobs",
        f"{_CONFIG}.ResourceLimits.MaxRuntimeInSeconds": "max_tuning_time",
        f"{_CONFIG}.RandomSeed": "random_seed",
        f"{_CONFIG}.StrategyConfig": "max_resource",
        "WarmStartConfig": "parent_hpo_jobs",
        "TrainingJobDefinition.StaticHyperParameters": "hyperparameters",
        "Tags": "tags",
        **{f"TrainingJobDefinition.{path}": parameter for path, parameter in PARAMETERS.items()},
    }

    settings: TuningSettings
    search: Search = field(kw_only=True)

    @property
    def stage(self) -> str:
        return "sagemaker-tune"

    def request(self, attempt: int) -> dict[str, Any]:
        """Arguments of CreateHyperParameterTuningJob."""
        request: dict[str, Any] = {
            "HyperParameterTuningJobName": self.job_name(attempt),
            _CONFIG: self.search.config(),
            "TrainingJobDefinition": {**self.definition(), "StaticHyperParameters": dict(self.hyperparameters)},
        }
        if self.search.parent_hpo_jobs:
            request["WarmStartConfig"] = {
                "ParentHyperParameterTuningJobs": [
                    {"HyperParameterTuningJobName": name} for name in self.search.parent_hpo_jobs
                ],
                "WarmStartType": self.search.warm_start_type,
            }
        return request | {"Tags": self.tags()}

    def checkpoints(self) -> str:
        parent = self.settings.checkpoint_s3_uri
        return f"{parent}/{self.name}" if parent else ""

    def written_to(self, described: Mapping[str, Any]) -> str:
        return super().written_to(described["TrainingJobDefinition"])

    def seconds(self, description: Mapping[str, Any]) -> tuple[float | None, float | None]:
        seconds = description.get("ConsumedResources", {}).get("RuntimeInSeconds")
        return seconds, seconds

    def phase(self, description: Mapping[str, Any]) -> str:
        counters = description["TrainingJobStatusCounters"]
        shown = [f"{counters[name]} {words}" for name, words in _COUNTERS.items() if counters.get(name)]
        return f"{self.kind.status_of(description)}, trials: {', '.join(shown) or 'none yet'}"

    def rounds(self, description: Mapping[str, Any]) -> object:
        return dict(description["TrainingJobStatusCounters"])

    def reached_limit(self, description: Mapping[str, Any]) -> str:  # noqa: ARG002
        return ""

    def log(self, aws: Aws, name: str) -> TrialLog:
        return TrialLog(aws, name, self.settings.instance_count)
