"""Forecast of each stage: seconds, by the number of cores, and peak memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ncf.forecast import terms
from ncf.forecast.coefficients import Kind, coefficients
from ncf.forecast.size import DataSize
from ncf.training.hyperparameters import PARTS, Hyperparameters

_OF_HISTORY = ("factors", "history", "shared_negatives", "batch_size", "validation")
_OF_OTHERS = ("factors", "tower", "negatives", "batch_size", "validation", "precision")
"""Hyperparameters that make work, of which only the defaults were measured."""
_LEAST_EPOCHS = 1
"""Epochs of the final and the hosted fit where the first epoch of selection is the best one."""


@dataclass(frozen=True)
class StageForecast:
    """What a stage takes.

    Attributes:
        serial_seconds: of one core, which further cores do not shorten.
        parallel_seconds: of one core, which cores share.
        peak_bytes: largest resident memory, mapped files included.
        least: share of the seconds that it takes if it ends early; 1 for a stage that does not.
    """

    serial_seconds: float
    parallel_seconds: float
    peak_bytes: float
    least: float = 1.0

    @property
    def core_seconds(self) -> float:
        """Seconds of one core."""
        return self.serial_seconds + self.parallel_seconds

    def seconds(self, cores: float) -> float:
        """Seconds on several cores."""
        return self.serial_seconds + self.parallel_seconds / max(cores, 1)


def preprocess(size: DataSize) -> StageForecast:
    """Forecast of the stage ``preprocess``."""
    return _stage("preprocess", terms.preprocess(size))


def negative_sampling(size: DataSize, candidates: int) -> StageForecast:
    """Forecast of the stage ``negative-sampling``; ``candidates`` are those of each held-out item."""
    return _stage("negative_sampling", terms.negative_sampling(size, candidates))


def evaluate(size: DataSize) -> StageForecast:
    """Forecast of the stage ``evaluate``."""
    return _stage("evaluate", terms.evaluate(size))


def fit(size: DataSize, settings: Hyperparameters, samples_per_second: float = 0.0) -> StageForecast:
    """Forecast of the fits of a training job: of all epochs, with what early stopping leaves of them as ``least``.

    Args:
        size: of the data.
        settings: hyperparameters.
        samples_per_second: speed of the steps on the job's instances, measured; 0: by the coefficients.
    """

    def of(model: Hyperparameters, most: bool) -> StageForecast:
        return fit_of_epochs(size, model, _epochs(model, most), samples_per_second)

    parts = [settings.of_part(part) for part in PARTS] if settings.pretrain else []
    most = [of(of_one, most=True) for of_one in (*parts, settings)]
    least = [of(of_one, most=bool(parts)) for of_one in (*parts, settings)]
    seconds = sum(stage.core_seconds for stage in most)
    return StageForecast(
        serial_seconds=sum(stage.serial_seconds for stage in most),
        parallel_seconds=sum(stage.parallel_seconds for stage in most),
        peak_bytes=max(stage.peak_bytes for stage in most),
        least=sum(stage.core_seconds for stage in least) / seconds,
    )


def fit_of_epochs(
    size: DataSize, settings: Hyperparameters, epochs: tuple[int, int, int], samples_per_second: float = 0.0
) -> StageForecast:
    """Forecast of one model's fits.

    Args:
        size: of the data.
        settings: hyperparameters, without pre-training.
        epochs: of the selection, the final and the hosted fit.
        samples_per_second: as of :func:`fit`.
    """
    kind: Kind = "fit_history" if settings.model == "history" else "fit_pairwise"
    work = terms.fit(size, settings, epochs)
    if not samples_per_second:
        return _stage(kind, work)
    rest = {name: 0.0 if name in terms.STEPS else amount for name, amount in work.seconds.items()}
    stage = _stage(kind, terms.Work(rest, work.bytes))
    seconds = terms.samples(size, settings, epochs) / samples_per_second
    return replace(stage, serial_seconds=stage.serial_seconds + seconds)


def extrapolated(size: DataSize, settings: Hyperparameters) -> Iterator[str]:
    """What lies outside of the measurements: counts of the data, and the model."""
    known = coefficients()
    for name, (low, high) in known.measured.items():
        value = getattr(size, name)
        if not low <= value <= high:
            side = f"more than {high:,}" if value > high else f"fewer than {low:,}"
            yield f"{value:,} {name} are {side}, the {'largest' if value > high else 'least'} number that was measured"
    defaults = Hyperparameters.model_validate({})
    for name in _OF_HISTORY if settings.model == "history" else _OF_OTHERS:
        if getattr(settings, name) != getattr(defaults, name):
            yield f"'{name}' was measured with {getattr(defaults, name)} only"
    if settings.model not in known.models:
        yield f"the model '{settings.model}' was not measured; it is derived from {', '.join(known.models)}"


def _epochs(settings: Hyperparameters, most: bool) -> tuple[int, int, int]:
    selection = final = settings.epochs
    if not most and settings.patience:
        selection, final = min(settings.epochs, _LEAST_EPOCHS + settings.patience), _LEAST_EPOCHS
    return selection, final, final if settings.refit else 0


def _stage(kind: Kind, work: terms.Work) -> StageForecast:
    cost = coefficients().costs[kind]
    seconds = {name: cost.seconds[name] * amount for name, amount in work.seconds.items()}
    parallel = sum(value for name, value in seconds.items() if name in terms.PARALLEL)
    peak = sum(cost.bytes[name] * amount for name, amount in work.bytes.items())
    return StageForecast(sum(seconds.values()) - parallel, parallel, peak)
