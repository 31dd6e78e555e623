"""Checkpoints of a training run in several processes: the first one writes and reads the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from ncf.artifacts.samples import FitName
from ncf.errors import InputError
from ncf.training.checkpoint import Checkpoint, Checkpoints
from ncf.training.distributed import World
from ncf.training.log_lines import FITS
from ncf.training.loop import FitLoop
from ncf.training.record import TrainingRecord
from ncf.training.step import Position

_KEPT = "kept:"
"""Prefix of the names of an earlier fit's weights in a checkpoint: ``kept:final/item_gmf.weight``."""


class RunCheckpoints:
    """State of the fits of a model, in checkpoints.

    Args:
        checkpoints: of the run; None: nothing is written or read.
        world: the processes.
    """

    def __init__(self, checkpoints: Checkpoints | None, world: World) -> None:
        self._checkpoints, self._world = checkpoints, world

    def write(
        self,
        fit: FitName,
        loop: FitLoop,
        record: TrainingRecord,
        weights: Mapping[FitName, Mapping[str, Tensor]],
    ) -> None:
        """Write the state of the current fit, and the weights of earlier ones that are kept."""
        if self._checkpoints is None:
            return
        tensors = loop.state.tensors()
        if self._world.is_first:
            progress = {"fit": fit, "position": asdict(loop.position), **record.state()}
            kept = {
                f"{_KEPT}{earlier}/{name}": weight
                for earlier, of_fit in weights.items()
                for name, weight in of_fit.items()
            }
            self._checkpoints.write(Checkpoint(progress, tensors | kept))

    def latest(self) -> Checkpoint | None:
        """The checkpoint to resume from; its tensors are only in the first process.

        Raises:
            InputError: in all processes, if the checkpoint belongs to another run.
        """
        tensors: dict[str, Tensor] = {}
        found: dict[str, Any] = {"progress": None, "error": ""}
        if self._world.is_first and self._checkpoints is not None:
            try:
                checkpoint = self._checkpoints.latest()
            except InputError as error:
                found["error"] = str(error)
            else:
                if checkpoint is not None:
                    tensors, found["progress"] = checkpoint.tensors, checkpoint.progress
        shared: dict[str, Any] = json.loads(self._world.broadcast_text(json.dumps(found)))
        if shared["error"]:
            raise InputError(shared["error"])
        return None if shared["progress"] is None else Checkpoint(shared["progress"], tensors)


def kept_weights(checkpoint: Checkpoint) -> dict[FitName, dict[str, Tensor]]:
    """Weights of the fits that were finished and kept, by fit and name."""
    found: dict[FitName, dict[str, Tensor]] = {}
    for fit in FITS:
        prefix = f"{_KEPT}{fit}/"
        weights = {n.removeprefix(prefix): t for n, t in checkpoint.tensors.items() if n.startswith(prefix)}
        if weights:
            found[fit] = weights
    return found


def position_of(checkpoint: Checkpoint) -> Position:
    """Progress of the fit of a checkpoint."""
    return Position(**checkpoint.progress["position"])
