"""Rules for the requests of tuning jobs, and the hyperparameters of their trials.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-define-ranges.html
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.local.aws.errors import invalid

_KINDS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")


def check_tuning(request: Mapping[str, Any]) -> None:
    """Check a request of CreateHyperParameterTuningJob.

    Raises:
        ApiError: for requests that SageMaker refuses, or this stand-in does not support.
    """
    config = request["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinition" not in request or "HyperParameterTuningJobObjective" not in config:
        raise invalid("This stand-in supports tuning jobs with one TrainingJobDefinition and an objective only")
    definition, limits, strategy = request["TrainingJobDefinition"], config["ResourceLimits"], config["Strategy"]
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    defined = [entry["Name"] for entry in definition["AlgorithmSpecification"].get("MetricDefinitions", [])]
    if metric not in defined:
        raise invalid(f"The objective metric '{metric}' is not one of the metric definitions: {', '.join(defined)}")
    ranges = list(_ranges(config))
    names = [entry["Name"] for _, entry in ranges] + list(definition.get("StaticHyperParameters", {}))
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise invalid(f"Hyperparameters must be either static or tuned, and once: {', '.join(repeated)}")
    if not ranges:
        raise invalid("At least one parameter range must be given")
    for kind, entry in ranges:
        if kind != "CategoricalParameterRanges":
            _check_range(kind, entry)
    if strategy == "Grid":
        if any(kind != "CategoricalParameterRanges" for kind, _ in ranges):
            raise invalid("Strategy Grid accepts CategoricalParameterRanges only")
        count = math.prod(len(entry["Values"]) for _, entry in ranges)
        if limits.get("MaxNumberOfTrainingJobs", count) != count:
            raise invalid(f"MaxNumberOfTrainingJobs must be {count}, the number of combinations, with strategy Grid")
    elif "MaxNumberOfTrainingJobs" not in limits:
        raise invalid("MaxNumberOfTrainingJobs must be given")
    if strategy == "Hyperband" and config.get("TrainingJobEarlyStoppingType") == "Auto":
        raise invalid("TrainingJobEarlyStoppingType must be Off with strategy Hyperband")
    if limits["MaxParallelTrainingJobs"] > limits.get("MaxNumberOfTrainingJobs", math.inf):
        raise invalid("MaxParallelTrainingJobs must not exceed MaxNumberOfTrainingJobs")


def _check_range(kind: str, entry: Mapping[str, str]) -> None:
    """
    Raises:
        ApiError: for a range that SageMaker refuses.
    """
    number = int if kind == "IntegerParameterRanges" else float
    try:
        low, high = number(entry["MinValue"]), number(entry["MaxValue"])
    except ValueError:
        raise invalid(f"Range of '{entry['Name']}': MinValue and MaxValue must be {number.__name__}") from None
    if low > high:
        raise invalid(f"Range of '{entry['Name']}': MinValue {low} must not exceed MaxValue {high}")
    scale = entry.get("ScalingType", "Auto")
    if scale == "Logarithmic" and low <= 0:
        raise invalid(f"Range of '{entry['Name']}': ScalingType Logarithmic accepts values above 0 only")
    if scale == "ReverseLogarithmic" and (number is int or not 0 <= low <= high < 1):
        raise invalid(f"Range of '{entry['Name']}': ScalingType ReverseLogarithmic accepts reals from 0 to 1 only")


def _ranges(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and entry of each range."""
    for kind in _KINDS:
        for entry in config.get("ParameterRanges", {}).get(kind, []):
            yield kind, entry


def candidates(config: Mapping[str, Any], name: str) -> Iterator[dict[str, str]]:
    """Hyperparameters of one trial after the other, the same for the same job.

    Grid lists all combinations. The other strategies draw at random: this stand-in does not learn from trials.

    Args:
        config: ``HyperParameterTuningJobConfig`` of the request.
        name: of the tuning job, the seed without a ``RandomSeed``.
    """
    ranges = list(_ranges(config))
    if config["Strategy"] == "Grid":
        values = [entry["Values"] for _, entry in ranges]
        yield from (dict(zip([entry["Name"] for _, entry in ranges], chosen)) for chosen in itertools.product(*values))
        return
    chance = random.Random(config.get("RandomSeed", name))
    for _ in range(config["ResourceLimits"]["MaxNumberOfTrainingJobs"]):
        yield {entry["Name"]: _drawn(kind, entry, chance) for kind, entry in ranges}


def _drawn(kind: str, entry: Mapping[str, Any], chance: random.Random) -> str:
    if kind == "CategoricalParameterRanges":
        values: Sequence[str] = entry["Values"]
        return chance.choice(values)
    low, high, scale = float(entry["MinValue"]), float(entry["MaxValue"]), entry.get("ScalingType", "Auto")
    part = chance.random()
    if scale == "Logarithmic":
        value = low * (high / low) ** part
    elif scale == "ReverseLogarithmic":
        value = 1 - (1 - low) * ((1 - high) / (1 - low)) ** part
    else:
        value = low + (high - low) * part
    return str(round(value)) if kind == "IntegerParameterRanges" else repr(value)
