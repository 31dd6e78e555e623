"""Training of one model: a fit that selects the best epoch, one on training and validation positives, one on all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ncf.artifacts.dataset import Dataset, Part
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig
from ncf.artifacts.samples import FitName, Samples
from ncf.errors import InputError
from ncf.models.history_network import HistoryNetwork, initialise_history
from ncf.models.networks import AnyNetwork, Network, initialise
from ncf.progress import Progress
from ncf.progress import progress as progress_bar
from ncf.training.backends import make_source
from ncf.training.checkpoint import Checkpoint, Checkpoints
from ncf.training.distributed import World, owned_users
from ncf.training.history_batches import positives_in_epoch
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.log_lines import FITS, epoch_line
from ncf.training.loop import FitLoop
from ncf.training.record import TrainingRecord
from ncf.training.run_checkpoints import RunCheckpoints, kept_weights, position_of
from ncf.training.validation import CatalogueValidation, SampledValidation, Validation

_log = logging.getLogger(__name__)

_FITTED_UP_TO: Mapping[FitName, Part] = {"selection": "train", "final": "validation", "hosted": "later"}

STOPPED = 143
"""Exit status after SIGTERM, as a shell reports it."""


def model_config(settings: Hyperparameters, dataset: Dataset) -> ModelConfig:
    """Architecture by the hyperparameters, of the size of the data without those who came after training."""
    return ModelConfig(
        model=settings.model,
        factors=settings.factors,
        tower=settings.tower,
        n_users=dataset.n_users,
        n_items=dataset.n_items,
        history=settings.history if settings.model == "history" and dataset.days is not None else 0,
    )


def hosted_config(settings: Hyperparameters, dataset: Dataset) -> ModelConfig:
    """The same, with those who came after training."""
    sizes = {"n_users": len(dataset.user_ids), "n_items": len(dataset.item_ids)}
    return model_config(settings, dataset).model_copy(update=sizes)


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
        is_part: whether the model is a part of a NeuMF: then all fits run all epochs, and the weights of the
            selection fit are kept too.
        may_stay: whether the initial weights may be selected, so that the final fit has no epochs. Only if they do not
            depend on validation positives.

    Attributes:
        config: architecture.
        hosted_config: of the hosted fit.
        positives: of the final fit, in order of time.
        record: metrics of all epochs.
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
        self.config, self.hosted_config = model_config(settings, dataset), hosted_config(settings, dataset)
        self._samples, self._settings, self._world = samples, settings, world
        self._checkpoints, self._stop_requested = RunCheckpoints(checkpoints, world), stop_requested
        self._start, self._is_part, self._may_stay = start or {}, is_part, may_stay
        self.record = TrainingRecord(settings, is_part)
        self._weights: dict[FitName, dict[str, Tensor]] = {}
        self.positives = dataset.positives_up_to("validation")
        self._positives: dict[FitName, ItemsByUser] = {"selection": dataset.train, "final": self.positives}
        if settings.refit and len(dataset.test):
            self._positives["hosted"] = dataset.positives()
        self._dataset = dataset
        self._bounds, self._users = self._owned(self.positives)

    def run(self) -> dict[FitName, dict[str, Tensor]]:
        """Train, or resume from a checkpoint.

        Returns:
            Weights of the final fit, of the hosted one if ``refit`` is set, and of a part's selection fit, by name and
            on the CPU; empty in all processes except the first.

        Raises:
            InputError: if the loss is no longer a finite number, or a checkpoint belongs to another run.
            SystemExit: with status 143 if a stop was requested, after writing a checkpoint.
        """
        self._log_users()
        checkpoint = self._resume()
        loop: FitLoop | None = None
        for fit in self._positives:
            if fit == "selection" and not len(self._samples.validation):
                continue
            if checkpoint is not None and checkpoint.progress["fit"] != fit:
                if self._is_kept(fit):
                    self._weights[fit] = {}  # the first process has them from the checkpoint
                continue
            loop = None  # frees the tables of the earlier fit
            loop = self._loop(fit)
            if checkpoint is not None:
                self._weights |= kept_weights(checkpoint)
                loop.restore(checkpoint.tensors, position_of(checkpoint))
                checkpoint = None
            elif fit in self._start:
                loop.state.load(self._start[fit])
                if self._may_stay and fit == "selection":
                    self._rank_start(loop)
            self._run_fit(fit, loop)
            if self._is_kept(fit):
                self._weights[fit] = loop.state.weights()
        return self._weights

    def _is_kept(self, fit: FitName) -> bool:
        return fit != "selection" or self._is_part

    def _rank_start(self, loop: FitLoop) -> None:
        metrics = self.record.start_metrics = self._validation().metrics(loop.network)
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

    def _owned(self, positives: ItemsByUser) -> tuple[NDArray[np.int64], range]:
        """Ranges of users that the processes own, int64 [processes + 1], and this process's."""
        bounds = owned_users(self._in_epoch(positives), self._world.size)
        return bounds, range(*bounds[self._world.rank : self._world.rank + 2].tolist())

    def _in_epoch(self, positives: ItemsByUser) -> NDArray[np.int64]:
        """Positives of each user in an epoch, int64 [users]."""
        return positives_in_epoch(positives) if self.config.has_history else positives.counts()

    def _validation(self) -> Validation:
        train = self._positives["selection"]
        if self._settings.validation == "sampled":
            return SampledValidation(self._samples, train, self._users, self._world)
        return CatalogueValidation(self._samples, train, self.config, self._users, self._world)

    def _network(self, config: ModelConfig, users: range, popularity: NDArray[np.int64]) -> AnyNetwork:
        settings = self._settings
        if config.has_history:
            history = HistoryNetwork(config)
            initialise_history(history, settings.seed, settings.init_std, popularity)
            return history
        network = Network(
            config,
            len(users),
            settings.dropout,
            fixed_gmf_output=settings.gmf_output == "fixed",
            mixed_precision=settings.precision == "mixed",
        )
        initialise(network, settings.seed, settings.init_std, users, config.n_users)
        return network

    def _loop(self, fit: FitName) -> FitLoop:
        settings, world, positives = self._settings, self._world, self._positives[fit]
        config, bounds, users = self.config, self._bounds, self._users
        if fit == "hosted" and self.hosted_config != config:  # more users than the other fits have
            config, (bounds, users) = self.hosted_config, self._owned(positives)
        popularity = np.bincount(positives.items, minlength=config.n_items)
        network = self._network(config, users, popularity)
        seed = [settings.seed, FITS.index(fit), world.rank]
        exclusion = self._samples.exclusion if fit == "selection" else positives.in_order()
        source = make_source(
            positives=positives,
            weights=self._dataset.positive_weights(_FITTED_UP_TO[fit]),
            exclusion=exclusion,
            users=users,
            config=config,
            negatives=settings.negatives,
            seed=seed,
            device=world.device,
        )
        counts = self._in_epoch(positives)
        shares = np.add.reduceat(np.append(counts, 0), bounds[:-1]) * (np.diff(bounds) > 0)
        return FitLoop(network.to(world.device), source, shares, bounds, popularity, settings, world, seed)

    def _run_fit(self, fit: FitName, loop: FitLoop) -> None:
        validation = self._validation() if fit == "selection" else None
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
        self._checkpoints.write(fit, loop, self.record, self._weights)

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
