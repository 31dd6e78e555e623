"""Training of one model: a fit that selects the best epoch, then one on training and validation positives."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

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
from ncf.training.record import TrainingRecord
from ncf.training.run_checkpoints import RunCheckpoints, position_of, selection_weights_of
from ncf.training.validation import Validation

_log = logging.getLogger(__name__)

STOPPED = 143
"""Exit status after SIGTERM, as a shell reports it."""


def model_config(settings: Hyperparameters, dataset: Dataset) -> ModelConfig:
    """Architecture by the hyperparameters, of the size of the data."""
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
        world: the processes.
        checkpoints: to resume from, and to write after each epoch; None for neither.
        stop_requested: whether to write a checkpoint after the current step and exit.
        start: initial weights of each fit, whole tables, in the first process; empty mappings of the same keys in the
            others. A fit without them starts from random weights.
        is_part: whether the model is a part of a NeuMF: then both fits run all epochs, and the weights of the
            selection fit are kept too.
        may_stay: whether the initial weights may be selected, so that the final fit has no epochs. Only if they do not
            depend on validation positives.

    Attributes:
        config: architecture.
        positives: of the final fit.
        record: metrics of all epochs.
        selection_weights: of a part's selection fit, by name; empty in all processes except the first.
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
        self._checkpoints, self._stop_requested = RunCheckpoints(checkpoints, world), stop_requested
        self._start, self._is_part, self._may_stay = start or {}, is_part, may_stay
        self.record = TrainingRecord(settings, is_part)
        self.selection_weights: dict[str, Tensor] = {}
        held_out = dataset.validation
        self.positives = dataset.train.union(held_out[:, 0], held_out[:, 1])
        self._positives: dict[FitName, ItemsByUser] = {"selection": dataset.train, "final": self.positives}
        self._bounds = owned_users(self.positives.counts(), world.size)
        self._users = range(*self._bounds[world.rank : world.rank + 2].tolist())

    def run(self) -> dict[str, Tensor]:
        """Train, or resume from a checkpoint.

        Returns:
            Weights by name, on the CPU; empty in all processes except the first.

        Raises:
            InputError: if the loss is no longer a finite number, or a checkpoint belongs to another run.
            SystemExit: with status 143 if a stop was requested, after writing a checkpoint.
        """
        self._log_users()
        checkpoint = self._resume()
        fit: FitName
        loop: FitLoop | None = None
        for fit in FITS:
            if fit == "selection" and not len(self._samples.validation):
                continue
            if checkpoint is not None and checkpoint.progress["fit"] != fit:
                continue
            loop = None  # frees the tables of the earlier fit
            loop = self._loop(fit)
            if checkpoint is not None:
                self.selection_weights = selection_weights_of(checkpoint)
                loop.restore(checkpoint.tensors, position_of(checkpoint))
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
        metrics = self.record.start_metrics = Validation(self._samples, self._users, self._world).metrics(loop.network)
        if self._world.is_first:
            values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            _log.info("the fused parts, before any epoch: validation %s", values)

    def _log_users(self) -> None:
        """Log the users with all items, and the users and positives of this process if there are several."""
        full = int(np.count_nonzero(self.positives.counts() >= self.config.n_items))
        if full and self._world.is_first:
            _log.warning(
                "%d users have all %d items: their negatives are drawn from all items", full, self.config.n_items
            )
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
        exclusion = self._samples.exclusion if fit == "selection" else self.positives
        source = make_source(
            positives=positives,
            exclusion=exclusion,
            users=self._users,
            n_items=self.config.n_items,
            negatives=settings.negatives,
            seed=seed,
            device=world.device,
        )
        shares = np.diff(positives.offsets[self._bounds])
        return FitLoop(network.to(world.device), source, shares, self._bounds, settings, world, seed)

    def _run_fit(self, fit: FitName, loop: FitLoop) -> None:
        validation = Validation(self._samples, self._users, self._world) if fit == "selection" else None
        records = self.record.epochs[fit]
        while not self.record.is_finished(fit):
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
            if self._world.all_reduce_many([], self._stop_requested()):
                self._stop(fit, loop)
            self._write_checkpoint(fit, loop)

    @contextmanager
    def _bar(self, description: str, total: int) -> Iterator[Progress]:
        if self._world.is_first:
            with progress_bar(description, total, "samples") as bar:
                yield bar
        else:
            yield _Silent()

    def _write_checkpoint(self, fit: FitName, loop: FitLoop) -> None:
        self._checkpoints.write(fit, loop, self.record, self.selection_weights)

    def _stop(self, fit: FitName, loop: FitLoop) -> NoReturn:
        self._write_checkpoint(fit, loop)
        if self._world.is_first:
            _log.info("stopped in epoch %d of the %s fit; a checkpoint is written", loop.position.epoch, fit)
        raise SystemExit(STOPPED)

    def _resume(self) -> Checkpoint | None:
        """The checkpoint to resume from, after the record is restored."""
        checkpoint = self._checkpoints.latest()
        if checkpoint is not None:
            self.record.restore(checkpoint.progress)
            if self._world.is_first:
                at, fit = position_of(checkpoint), checkpoint.progress["fit"]
                _log.info("resuming in epoch %d, step %d of the %s fit", at.epoch, at.step + 1, fit)
        return checkpoint


class _Silent:
    """Progress of the processes that do not log."""

    def update(self, n: int, /) -> None:
        """Ignore the units."""
