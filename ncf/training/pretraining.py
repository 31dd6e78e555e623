"""Training of a model; with ``pretrain``, of its GMF and MLP first (He et al. 2017, section 3.4.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from ncf.artifacts.samples import FitName
from ncf.training.hyperparameters import PARTS, Hyperparameters
from ncf.training.init_weights import fused
from ncf.training.log_lines import FITS
from ncf.training.trainer import Trainer


class MakeTrainer(Protocol):
    """Makes the trainer of one model. ``folder`` is the folder of its checkpoints in that of the run."""

    def __call__(
        self,
        settings: Hyperparameters,
        folder: str,
        start: Mapping[FitName, Mapping[str, Tensor]] | None = None,
        is_part: bool = False,
        may_stay: bool = False,
    ) -> Trainer: ...


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        weights: by name; empty in all processes but the first.
        trainer: of the model.
        parts: metrics of each epoch of both fits, by part that the model started from.
    """

    weights: Mapping[str, Tensor]
    trainer: Trainer
    parts: Mapping[str, Any] = field(default_factory=dict)


def train(
    settings: Hyperparameters, make: MakeTrainer, warm: Callable[[], Mapping[str, Tensor]] | None = None
) -> Trained:
    """Train a model, and with ``pretrain`` its parts first.

    Args:
        settings: with ``pretrain``, a GMF and an MLP are trained first. Each is trained twice: once for the
            selection fit, once for the final fit.
        make: the trainer of a model.
        warm: gives the weights of an earlier model to start from; None for random weights.
    """
    if not settings.pretrain:
        start = None if warm is None else dict.fromkeys(FITS, warm())
        trainer = make(settings, "", start)
        return Trained(trainer.run(), trainer)
    weights: dict[FitName, dict[str, Mapping[str, Tensor]]] = {fit: {} for fit in FITS}
    history = {}
    for part in PARTS:
        trainer = make(settings.of_part(part), part, is_part=True)
        weights["final"][part] = trainer.run()
        weights["selection"][part] = trainer.selection_weights
        history[part] = trainer.record.epochs
    trainer = make(
        settings, "neumf", {fit: fused(**weights[fit], alpha=settings.pretrain_alpha) for fit in FITS}, may_stay=True
    )
    return Trained(trainer.run(), trainer, history)
