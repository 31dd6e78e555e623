"""The steps of a fit, their samples, and the learning rate of each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ncf.training.hyperparameters import Hyperparameters


class Schedule:
    """Steps and learning rates of one fit.

    Args:
        settings: hyperparameters.
        positives: int64 [processes], training positives of each process.

    Attributes:
        samples_per_positive: the positive and its own negatives.
        positives_per_step: of all processes; a step may have one less.
        steps_per_epoch: the same in every process.
        steps: of the whole fit.
        samples_per_epoch: of all processes.
        peak: the highest learning rate.
    """

    def __init__(self, settings: Hyperparameters, positives: NDArray[np.int64]) -> None:
        total = int(positives.sum())
        self._positives, self._warmup_epochs = positives, settings.warmup
        self.samples_per_positive = settings.samples_per_positive
        self.positives_per_step = min(settings.positives_per_batch(total), total)
        self.steps_per_epoch = -(-total // self.positives_per_step)
        self.steps = settings.epochs * self.steps_per_epoch
        self.samples_per_epoch = total * self.samples_per_positive
        self.peak = settings.scaled_learning_rate(self.positives_per_step)

    def learning_rate(self, step: int) -> float:
        """The rate at ``step`` of the whole fit, from 0: a linear warm-up, then half a cosine down to 0."""
        warmup = self._warmup_epochs * self.steps_per_epoch
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return self.peak * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def samples(self, step: int) -> int:
        """Samples of all processes at ``step`` of an epoch, from 0."""
        steps = self.steps_per_epoch
        return self.samples_per_positive * sum(
            first_row(step + 1, int(n), steps) - first_row(step, int(n), steps) for n in self._positives
        )

    def first_rows(self) -> list[int]:
        """First positive of each step of an epoch, and the number of positives, of all processes."""
        total = int(self._positives.sum())
        return [first_row(step, total, self.steps_per_epoch) for step in range(self.steps_per_epoch + 1)]


def first_row(step: int, rows: int, steps: int) -> int:
    """First row of ``step`` where ``rows`` are divided evenly among ``steps``."""
    return step * rows // steps
