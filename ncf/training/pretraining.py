"""Training of a model; with ``pretrain``, of its GMF and MLP first (He et al. 2017, section 3.4.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from ncf.artifacts.samples import FitName
from ncf.training.hyperparameters import PARTS, Hyperparameters
from ncf.training.init_weights import fused
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
        weights: of the final fit and, with ``refit``, of the hosted one, by name; empty in all processes but the first.
        trainer: of the model.
        parts: metrics of each epoch of both fits, by part that the model started from.
    """

    weights: Mapping[FitName, Mapping[str, Tensor]]
    trainer: Trainer
    parts: Mapping[str, Any] = field(default_factory=dict)


def train(
    settings: Hyperparameters,
    make: MakeTrainer,
    warm: Callable[[], Mapping[FitName, Mapping[str, Tensor]]] | None = None,
) -> Trained:
    """Train a model, and with ``pretrain`` its parts first.

    Args:
        settings: with ``pretrain``, a GMF and an MLP are trained first. Each is trained once for each
            fit.
        make: the trainer of a model.
        warm: gives the weights of an earlier model to start each fit from; None for random weights.
    """
    if not settings.pretrain:
        trainer = make(settings, "", None if warm is None else warm())
        return Trained(trainer.run(), trainer)
    weights: dict[FitName, dict[str, Mapping[str, Tensor]]] = {}
    history = {}
    for part in PARTS:
        trainer = make(settings.of_part(part), part, is_part=True)
        for fit, of_part in trainer.run().items():
            weights.setdefault(fit, {})[part] = of_part
        history[part] = trainer.record.epochs
    start = {fit: fused(**of_parts, alpha=settings.pretrain_alpha) for fit, of_parts in weights.items()}
    trainer = make(settings, "neumf", start, may_stay=True)
    return Trained(trainer.run(), trainer, history)
