"""Metrics of the epochs of a training run, and the choice of the best one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ncf.artifacts.samples import FitName
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.log_lines import FITS

SELECTION_METRIC = "ndcg_at_10"
"""Validation metric that selects the best epoch. NDCG depends on every rank in the top 10, so it is less noisy than the
hit rate."""


class TrainingRecord:
    """Metrics of the epochs of all fits.

    Args:
        settings: hyperparameters.
        is_part: whether the model is a part of a NeuMF: then all fits run all epochs.

    Attributes:
        epochs: metrics of each epoch, by fit.
        start_metrics: validation metrics of the initial weights; empty if these cannot be selected.
    """

    def __init__(self, settings: Hyperparameters, is_part: bool) -> None:
        self._settings, self._is_part = settings, is_part
        self.epochs: dict[FitName, list[dict[str, float]]] = {fit: [] for fit in FITS}
        self.start_metrics: dict[str, float] = {}

    @property
    def best_epoch(self) -> int:
        """The epoch with the best validation metric, or 0 if none is better than the initial weights.

        All epochs if there are no validation positives.
        """
        selection = self.epochs["selection"]
        if not selection or self._is_part:
            return self._settings.epochs
        values = [metrics[SELECTION_METRIC] for metrics in selection]
        best = int(np.argmax(values))
        if self.start_metrics and self.start_metrics[SELECTION_METRIC] >= values[best]:
            return 0
        return 1 + best

    @property
    def samples_per_second(self) -> float:
        """Training samples, positives and negatives, a second of all fits, over all processes."""
        epochs = [metrics for fit in FITS for metrics in self.epochs[fit]]
        seconds = sum(metrics["seconds"] for metrics in epochs)
        return sum(metrics["samples_per_second"] * metrics["seconds"] for metrics in epochs) / max(seconds, 1e-9)

    def is_finished(self, fit: FitName) -> bool:
        """Whether a fit has run its last epoch."""
        done = len(self.epochs[fit])
        if fit != "selection":
            return done >= self.best_epoch
        patience = 0 if self._is_part else self._settings.patience
        return done >= self._settings.epochs or bool(patience and done and done - self.best_epoch >= patience)

    def state(self) -> dict[str, Any]:
        """The record, JSON-ready."""
        return {"history": self.epochs, "start_metrics": self.start_metrics}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.epochs, self.start_metrics = state["history"], state["start_metrics"]
