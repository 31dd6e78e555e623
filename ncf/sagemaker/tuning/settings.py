"""Parameters of a hyperparameter tuning job."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ncf.aws.names import MAX_NAME_LENGTH, hashed_stem
from ncf.parameters import Parameters
from ncf.sagemaker.training.settings import TrainingSettings
from ncf.sagemaker.tuning.ranges import MAX_RANGES, combinations, parameter_ranges

_MAX_NAME = 32
"""Length of a tuning job's name."""
RESERVED = MAX_NAME_LENGTH - _MAX_NAME + len("-99")
"""Characters of a job's longest name that a tuning job's does not have, or has for the number of an attempt."""
_MAX_PREFIX = len(hashed_stem("x" * MAX_NAME_LENGTH, RESERVED))
_DAYS_182 = 15_768_000


class TuningSettings(TrainingSettings):
    """Instances and limits of each trial."""

    @model_validator(mode="after")
    def _fits_tuning(self) -> TuningSettings:
        if len(self.job_prefix) > _MAX_PREFIX:
            raise ValueError(
                f"parameter 'job_prefix' is '{self.job_prefix}': names of tuning jobs have {_MAX_NAME} characters, so "
                f"that {_MAX_PREFIX} are accepted at most"
            )
        if self.keep_alive_period:
            raise ValueError("parameter 'keep_alive_period': instances of tuning jobs are not kept warm; leave it 0")
        return self


class Search(Parameters):
    """What a tuning job searches, and how."""

    metric_name: str = Field(min_length=1, description="Objective: a name in metric_definitions")
    metric_type: Literal["Maximize", "Minimize"] = Field("Maximize", description="Direction of the objective")
    ranges: dict[str, Any] = Field(
        description="Range of each hyperparameter, as {name: [min, max]}, {name: [value, value, ...]}, or {name: "
        "{'min': ..., 'max': ..., 'scale': 'logarithmic', 'type': 'continuous'}}; two whole numbers are a range of "
        "integers"
    )
    strategy: Literal["Bayesian", "Random", "Hyperband", "Grid"] = Field("Bayesian", description="Search strategy")
    max_num_jobs: int = Field(
        10, ge=0, le=10_000, description="Number of trials; with strategy Grid 0: one for each combination"
    )
    max_parallel_jobs: int = Field(2, ge=1, le=1000, description="Number of trials at a time")
    max_tuning_time: int = Field(
        0, ge=0, le=_DAYS_182, description="Seconds after which SageMaker starts no more trials; 0: no limit"
    )
    early_stopping_type: Literal["Off", "Auto"] = Field("Off", description="Whether poor trials are stopped early")
    min_resource: int = Field(0, ge=0, description="Epochs of a trial at least, for strategy Hyperband; 0: SageMaker's")
    max_resource: int = Field(0, ge=0, description="Epochs of a trial at most, for strategy Hyperband; 0: SageMaker's")
    random_seed: int = Field(0, ge=0, description="Seed of the search; 0: none")
    warm_start_type: Literal["", "IdenticalDataAndAlgorithm", "TransferLearning"] = Field(
        "", description="How earlier tuning jobs are used; '': not"
    )
    parent_hpo_jobs: list[str] = Field([], description="Names of earlier tuning jobs to start from")

    @field_validator("ranges")
    @classmethod
    def _are_ranges(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not 1 <= len(value) <= MAX_RANGES:
            raise ValueError(f"{len(value)} ranges; 1 to {MAX_RANGES} are accepted")
        parameter_ranges(value)
        return value

    @model_validator(mode="after")
    def _possible(self) -> Search:
        if bool(self.warm_start_type) != bool(self.parent_hpo_jobs):
            raise ValueError("parameters 'warm_start_type' and 'parent_hpo_jobs' go together: give both or none")
        if self.strategy == "Hyperband" and self.early_stopping_type == "Auto":
            raise ValueError("parameter 'early_stopping_type': Hyperband stops trials itself; leave it Off")
        if self.strategy != "Hyperband" and (self.min_resource or self.max_resource):
            raise ValueError("parameters 'min_resource' and 'max_resource' are for strategy Hyperband; leave them 0")
        trials = self._trials()
        if self.max_parallel_jobs > trials:
            raise ValueError(f"parameter 'max_parallel_jobs' is {self.max_parallel_jobs}: there are {trials} trials")
        return self

    def _trials(self) -> int:
        """Number of trials.

        Raises:
            ValueError: if the strategy does not accept it.
        """
        if self.strategy != "Grid":
            if not self.max_num_jobs:
                raise ValueError("parameter 'max_num_jobs' is 0, which is for strategy Grid")
            return self.max_num_jobs
        ranges = parameter_ranges(self.ranges)
        if ranges["IntegerParameterRanges"] or ranges["ContinuousParameterRanges"]:
            raise ValueError(
                "parameter 'ranges': strategy Grid accepts lists of values only, such as {'values': [1, 2]}"
            )
        count = combinations(ranges)
        if self.max_num_jobs not in (0, count):
            raise ValueError(
                f"parameter 'max_num_jobs' is {self.max_num_jobs}: strategy Grid makes {count} trials; use 0"
            )
        return count

    def identity(self) -> dict[str, Any]:
        """What makes another job, beside its settings, program and inputs."""
        return self.model_dump(mode="json", include=set(Search.model_fields))

    def config(self) -> dict[str, Any]:
        """``HyperParameterTuningJobConfig`` of the API."""
        limits: dict[str, int] = {"MaxParallelTrainingJobs": self.max_parallel_jobs}
        if self.max_num_jobs:
            limits["MaxNumberOfTrainingJobs"] = self.max_num_jobs
        if self.max_tuning_time:
            limits["MaxRuntimeInSeconds"] = self.max_tuning_time
        config: dict[str, Any] = {
            "Strategy": self.strategy,
            "HyperParameterTuningJobObjective": {"Type": self.metric_type, "MetricName": self.metric_name},
            "ResourceLimits": limits,
            "ParameterRanges": {kind: entries for kind, entries in parameter_ranges(self.ranges).items() if entries},
            "TrainingJobEarlyStoppingType": self.early_stopping_type,
        }
        resources = {"MinResource": self.min_resource, "MaxResource": self.max_resource}
        if chosen := {name: value for name, value in resources.items() if value}:
            config["StrategyConfig"] = {"HyperbandStrategyConfig": chosen}
        return config | ({"RandomSeed": self.random_seed} if self.random_seed else {})
