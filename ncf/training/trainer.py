"""From data to weights: epochs chosen on validation, then one fit on training and validation positives."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NoReturn

import numpy as np
from torch import Tensor

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig
from ncf.artifacts.samples import FitName, Samples
from ncf.errors import InputError
from ncf.models.networks import Network, initialise
from ncf.progress import Progress
from ncf.progress import progress as progress_bar
from ncf.training.backends import make_source
from ncf.training.checkpoint import Checkpoint, Checkpoints
from ncf.training.distributed import World, owned_users
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.log_lines import FITS, epoch_line
from ncf.training.loop import FitLoop
from ncf.training.step import Position
from ncf.training.validation import Validation

_log = logging.getLogger(__name__)

SELECTION_METRIC = "ndcg_at_10"
"""What the best epoch is best in, on validation: NDCG moves with every rank in the top 10, so it is less
noisy than the hit rate."""

_KEPT = "selection/"
"""Before the names of a selection fit's weights in a checkpoint of the final fit."""

STOPPED = 143
"""Exit status after SIGTERM, as a shell reports it."""


def model_config(settings: Hyperparameters, dataset: Dataset) -> ModelConfig:
    """The architecture that ``settings`` ask for, at the size of the data."""
    return ModelConfig(
        model=settings.model,
        factors=settings.factors,
        tower=settings.tower,
        n_users=dataset.n_users,
        n_items=dataset.n_items,
    )


class Trainer:
    """Trains one model.

    Args:
        dataset: positives.
        samples: candidates and exclusion index of that data set.
        settings: hyperparameters.
        world: the processes that train together.
        checkpoints: where to go on from and to write to after each epoch; None for neither.
        stop_requested: whether to write a checkpoint after the step under way and leave.
        start: whole tables of weights that each fit starts from, in the first process; elsewhere empty ones
            under the same keys. A fit without starts from random weights.
        is_part: whether this model is only to start another one: then both fits run all epochs, and the
            weights of the selection fit are kept too.
        may_stay: whether the start itself may be best, so that the final fit has no epochs: only where validation
            positives had no part in it.
    """

    def __init__(
        self,
        dataset: Dataset,
        samples: Samples,
        settings: Hyperparameters,
        world: World,
        checkpoints: Checkpoints | None = None,
        stop_requested: Callable[[], bool] = lambda: False,
        start: Mapping[FitName, Mapping[str, Tensor]] | None = None,
        is_part: bool = False,
        may_stay: bool = False,
    ) -> None:
        if not len(dataset.train.items):
            raise InputError("the data set has no training positives")
        self.config = model_config(settings, dataset)
        self._samples, self._settings, self._world = samples, settings, world
        self._checkpoints, self._stop_requested = checkpoints, stop_requested
        self._start, self._is_part, self._may_stay = start or {}, is_part, may_stay
        self.start_metrics: dict[str, float] = {}
        self.selection_weights: dict[str, Tensor] = {}
        held_out = dataset.validation
        self.positives = dataset.train.union(held_out[:, 0], held_out[:, 1])
        self._positives: dict[FitName, ItemsByUser] = {"selection": dataset.train, "final": self.positives}
        self._bounds = owned_users(self.positives.counts(), world.size)
        self._users = range(*self._bounds[world.rank : world.rank + 2].tolist())
        self.history: dict[FitName, list[dict[str, float]]] = {"selection": [], "final": []}

    def run(self) -> dict[str, Tensor]:
        """Train, or go on from a checkpoint.

        Returns:
            Weights by name, on the CPU; empty in all processes but the first.

        Raises:
            InputError: if the loss is no longer a number, or a checkpoint belongs to another run.
            SystemExit: with 143 after a checkpoint was written because a stop was requested.
        """
        self._log_share()
        checkpoint = self._resume()
        fit: FitName
        loop: FitLoop | None = None
        for fit in FITS:
            if fit == "selection" and not len(self._samples.validation):
                continue
            if checkpoint is not None and checkpoint.progress["fit"] != fit:
                continue
            loop = None  # an earlier fit's tables need not be there beside this one's
            loop = self._loop(fit)
            if checkpoint is not None:
                self._restore(loop, checkpoint)
                checkpoint = None
            elif fit in self._start:
                loop.state.load(self._start[fit])
                if self._may_stay and fit == "selection":
                    self._rank_start(loop)
            self._run_fit(fit, loop)
            if fit == "selection" and self._is_part:
                self.selection_weights = loop.state.weights()
        assert loop is not None
        return loop.state.weights()

    def _rank_start(self, loop: FitLoop) -> None:
        self.start_metrics = Validation(self._samples, self._users, self._world).metrics(loop.network)
        if self._world.is_first:
            ranked = ", ".join(f"{name} {value:.4f}" for name, value in self.start_metrics.items())
            _log.info("the joined parts, before any epoch: validation %s", ranked)

    def _restore(self, loop: FitLoop, checkpoint: Checkpoint) -> None:
        kept = {name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith(_KEPT)}
        self.selection_weights = {name.removeprefix(_KEPT): tensor for name, tensor in kept.items()}
        loop.restore(checkpoint.tensors, Position(**checkpoint.progress["position"]))

    def _log_share(self) -> None:
        """Say which part of the data this process works on, where there are several."""
        if self._world.size > 1:
            users, validation = self._users, self._samples.validation[:, 0]
            _log.info(
                "rank %d of %d: users %d to %d, %d training and %d validation positives",
                self._world.rank,
                self._world.size,
                users.start,
                users.stop - 1,
                sum(self._positives["selection"].counts()[users.start : users.stop]),
                np.count_nonzero((validation >= users.start) & (validation < users.stop)),
            )

    @property
    def best_epoch(self) -> int:
        """The epoch with the best validation metric, 0 if none is better than what training has started from.

        All epochs where nothing is held out for validation.
        """
        selection = self.history["selection"]
        if not selection or self._is_part:
            return self._settings.epochs
        values = [record[SELECTION_METRIC] for record in selection]
        best = int(np.argmax(values))
        if self.start_metrics and self.start_metrics[SELECTION_METRIC] >= values[best]:
            return 0
        return 1 + best

    @property
    def samples_per_second(self) -> float:
        """Training samples, positives and negatives, a second of both fits, over all processes."""
        records = [record for fit in FITS for record in self.history[fit]]
        seconds = sum(record["seconds"] for record in records)
        return sum(record["samples_per_second"] * record["seconds"] for record in records) / max(seconds, 1e-9)

    def _loop(self, fit: FitName) -> FitLoop:
        settings, world, positives = self._settings, self._world, self._positives[fit]
        network = Network(
            self.config,
            len(self._users),
            settings.dropout,
            fixed_gmf_output=settings.gmf_output == "fixed",
            mixed_precision=settings.precision == "mixed",
        )
        initialise(network, settings.seed, settings.init_std, self._users, self.config.n_users)
        seed = [settings.seed, FITS.index(fit), world.rank]
        exclusion = self._samples.exclusion if fit == "selection" else self._samples.final_exclusion()
        source = make_source(
            positives=positives,
            exclusion=exclusion,
            users=self._users,
            n_items=self.config.n_items,
            negatives=settings.negatives,
            rounds=self._samples.rounds(fit),
            seed=seed,
            device=world.device,
        )
        shares = np.diff(positives.offsets[self._bounds])
        return FitLoop(network.to(world.device), source, shares, self._bounds, settings, world, seed)

    def _run_fit(self, fit: FitName, loop: FitLoop) -> None:
        validation = Validation(self._samples, self._users, self._world) if fit == "selection" else None
        records = self.history[fit]
        while not self._finished(fit):
            epoch = loop.position.epoch
            name = f"{self._settings.model}_{fit}" if self._is_part else fit
            with self._bar(f"epoch {epoch} ({name})", loop.schedule.samples_per_epoch) as bar:
                values = loop.run_epoch(self._stop_requested, bar)
            if values is None:
                self._stop(fit, loop)
            if validation is not None:
                values |= validation.metrics(loop.network)
            records.append({"epoch": epoch, **values})
            if self._world.is_first:
                _log.info(epoch_line(name, epoch, values))
            if self._world.add_up_all([], self._stop_requested()):
                self._stop(fit, loop)
            self._save(fit, loop)

    def _finished(self, fit: FitName) -> bool:
        done = len(self.history[fit])
        if fit == "final":
            return done >= self.best_epoch
        patience = 0 if self._is_part else self._settings.patience
        return done >= self._settings.epochs or bool(patience and done and done - self.best_epoch >= patience)

    @contextmanager
    def _bar(self, description: str, total: int) -> Iterator[Progress]:
        if self._world.is_first:
            with progress_bar(description, total, "samples") as bar:
                yield bar
        else:
            yield _Silent()

    def _save(self, fit: FitName, loop: FitLoop) -> None:
        if self._checkpoints is None:
            return
        state = loop.state.tensors()
        if self._world.is_first:
            account = {
                "fit": fit,
                "position": asdict(loop.position),
                "history": self.history,
                "start_metrics": self.start_metrics,
            }
            kept = {f"{_KEPT}{name}": weight for name, weight in self.selection_weights.items()}
            self._checkpoints.write(Checkpoint(account, state | kept))

    def _stop(self, fit: FitName, loop: FitLoop) -> NoReturn:
        self._save(fit, loop)
        if self._world.is_first:
            _log.info("stopped in epoch %d of the %s fit; a checkpoint is written", loop.position.epoch, fit)
        raise SystemExit(STOPPED)

    def _resume(self) -> Checkpoint | None:
        """The checkpoint to go on from, its tensors in the first process only."""
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
        shared: dict[str, Any] = json.loads(self._world.share(json.dumps(found)))
        if shared["error"]:  # in all processes, so that none waits for one that has left
            raise InputError(shared["error"])
        progress = shared["progress"]
        if progress is None:
            return None
        self.history, self.start_metrics = progress["history"], progress["start_metrics"]
        if self._world.is_first:
            place = Position(**progress["position"])
            _log.info("going on in epoch %d, step %d of the %s fit", place.epoch, place.step + 1, progress["fit"])
        return Checkpoint(progress, tensors)


class _Silent:
    """Progress of the processes that do not speak."""

    def update(self, n: int, /) -> None:
        """Count nothing."""
