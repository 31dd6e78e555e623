"""Lines that tell a forecast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ncf.forecast.coefficients import coefficients
from ncf.forecast.forecast import StageForecast, extrapolated
from ncf.forecast.machines import Machine, TrainingInstances
from ncf.forecast.size import DataSize
from ncf.training.hyperparameters import Hyperparameters

_MINUTE, _GB = 60.0, 1e9
_NO_MINUTES = "0.0"
TRAIN, BEFORE_TRAIN = "train", "negative-sampling"
"""Names of the stage that runs the training job, and of the one before it."""


@dataclass(frozen=True)
class Training:
    """Forecast of a training job.

    Attributes:
        settings: hyperparameters.
        stage: its forecast.
        instances: of the job.
        max_run_time: seconds after which SageMaker stops it; 0: not known.
        speed_of: name of the earlier model whose measured speed the forecast uses; '' for none.
    """

    settings: Hyperparameters
    stage: StageForecast
    instances: TrainingInstances
    max_run_time: int = 0
    speed_of: str = ""

    @property
    def seconds(self) -> float:
        """Largest number of seconds of the fits."""
        return self.stage.seconds(self.instances.machine.cores)


def data_line(size: DataSize) -> str:
    """Counts of the data."""
    kept = f"{size.positives:,} positives of {size.users:,} users and {size.items:,} items"
    return f"{size.rows:,} rows; after the filters {kept}"


def stage_line(name: str, stage: StageForecast, machine: Machine) -> str:
    """Minutes and memory of a stage."""
    minutes = _minutes(stage.seconds(machine.cores), stage.least)
    return f"{name}: {minutes} on {machine.name}; {_memory(stage, machine)}"


def training_line(training: Training) -> str:
    """Minutes, memory and price of a training job."""
    instances, stage = training.instances, training.stage
    usd = instances.usd(training.seconds)
    if usd is None:
        price = "no price: AWS's price list has none, or cannot be read"
    else:
        price = f"{usd:.2f} USD at most, at {(instances.usd_per_hour or 0) * instances.count:.2f} USD an hour"
    count = instances.machine.cores
    cores = f"{count:g} cores" if count else "cores not known, so as on one"
    minutes = _minutes(training.seconds, stage.least)
    return f"{TRAIN}: {minutes} on {instances.name}, {cores}; {_memory(stage, instances.machine)}; {price}"


def notes(size: DataSize, training: Training, pods: Mapping[str, tuple[StageForecast, Machine]]) -> Iterator[str]:
    """What is doubtful about a forecast, and what will fail.

    Args:
        size: of the data.
        training: the job.
        pods: forecast and machine of further stages.
    """
    instances, stage = training.instances, training.stage
    yield from _too_small({**pods, TRAIN: (stage, instances.machine)})
    if 0 < training.max_run_time < training.seconds:
        yield (
            f"the job may take longer than 'max_run_time', {training.max_run_time} s, after which SageMaker stops it: "
            "raise it"
        )
    if training.speed_of:
        yield f"train is computed with the speed of {training.speed_of}, measured on the same instances"
    else:
        if instances.has_gpu:
            yield (
                "extrapolated: no GPU was measured. The minutes of train are those of the cores of "
                f"{instances.instance_type} alone; its GPU should need fewer"
            )
        if instances.count > 1:
            yield (
                "extrapolated: several instances were not measured. The minutes of train are those of one, the price "
                f"is that of {instances.count}"
            )
    yield from _extrapolated(size, training.settings)
    if " to " in _minutes(training.seconds, stage.least):
        yield "of two numbers of minutes, the lower one is that of the earliest stop, the upper one that of all epochs"
    yield f"measured on one core ({coefficients().machine}); how several cores share the work is computed"
    yield "SageMaker's start, and the transfer of image and data, are not in the minutes"


def notes_on_data(
    size: DataSize, settings: Hyperparameters, pods: Mapping[str, tuple[StageForecast, Machine]]
) -> Iterator[str]:
    """The notes that need no training job; arguments as of :func:`notes`."""
    yield from _too_small(pods)
    yield from _extrapolated(size, settings)


def _too_small(machines: Mapping[str, tuple[StageForecast, Machine]]) -> Iterator[str]:
    for name, (stage, machine) in machines.items():
        if 0 < machine.memory_bytes < stage.peak_bytes:
            remedy = "choose a larger instance type" if name == TRAIN else "give its pod more memory"
            need, has = stage.peak_bytes / _GB, machine.memory_bytes / _GB
            yield f"{name} needs {need:.1f} GB of memory, but {machine.name} has {has:.1f} GB: {remedy}"


def _extrapolated(size: DataSize, settings: Hyperparameters) -> Iterator[str]:
    return (f"extrapolated: {text}" for text in extrapolated(size, settings))


def _minutes(seconds: float, least: float) -> str:
    high, low = (f"{value / _MINUTE:.1f}" for value in (seconds, seconds * least))
    if high == _NO_MINUTES:
        return "less than 0.1 min"
    return f"{high} min" if low == high else f"{low} to {high} min"


def _memory(stage: StageForecast, machine: Machine) -> str:
    of = f" of {machine.memory_bytes / _GB:.0f}" if machine.memory_bytes else ""
    return f"memory {stage.peak_bytes / _GB:.1f}{of} GB"
