"""The training loop of one fit: the steps of an epoch, their loss and their time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncf.errors import InputError
from ncf.models.history_network import HistoryNetwork
from ncf.models.networks import AnyNetwork
from ncf.progress import Progress
from ncf.training.backends import make_step
from ncf.training.distributed import World
from ncf.training.fit_state import FitState
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.schedule import Schedule
from ncf.training.step import EpochSource, Position

_WORK_OF_A_THREAD = 3e7
"""Multiplications, some milliseconds. With less, torch's threads wait longer than they work."""


@contextmanager
def _torch_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class FitLoop:
    """Fits a network to one set of positives.

    Each process takes the steps of its own users, whose rows no other process has; the gradients of all other
    weights are summed over the processes. The loss is binary cross-entropy, averaged over the samples of a
    step in all processes (He et al. 2017, equation 7); for a ``history`` network it is the sampled softmax.

    Args:
        network: this process's, on its device.
        source: epochs of the users that this process owns.
        positives: int64 [processes], positives of each process.
        bounds: int64 [processes + 1], ranges of users that the processes own.
        popularity: int64 [n_items], positives of each item, of all processes.
        settings: hyperparameters.
        world: the processes.
        seed: of dropout, one for each fit and process.
        on_device: whether steps run whole on the device; None: on a GPU, in a single process.

    Attributes:
        network: this process's.
        position: progress of the fit.
        schedule: steps and learning rates.
        step: runs the steps.
        state: weights and moments of all processes.
    """

    def __init__(
        self,
        network: AnyNetwork,
        source: EpochSource[Any],
        positives: NDArray[np.int64],
        bounds: NDArray[np.int64],
        popularity: NDArray[np.int64],
        settings: Hyperparameters,
        world: World,
        seed: list[int],
        on_device: bool | None = None,
    ) -> None:
        self.network, self.position = network, Position()
        self._source, self._settings, self._world = source, settings, world
        self.schedule = schedule = Schedule(settings, positives)
        self.step = make_step(network, schedule, settings, world, int(bounds[-1]), popularity, seed, on_device)
        self.state = FitState(network, self.step.adam, world, bounds)
        fan = schedule.samples_per_positive
        if isinstance(network, HistoryNetwork):
            fan = min(settings.shared_negatives, network.n_items)
        work = schedule.positives_per_step * fan / world.size * network.multiplications(fan)
        self._threads = min(torch.get_num_threads(), max(1, int(work // _WORK_OF_A_THREAD)))

    def run_epoch(self, stop_requested: Callable[[], bool], bar: Progress) -> dict[str, float] | None:
        """Continue from ``position`` to the end of its epoch, and move on to the next.

        Args:
            stop_requested: called once a step; True in one process stops all after the step.
            bar: counts samples of all processes.

        Returns:
            The epoch's mean ``loss``, ``seconds`` and ``samples_per_second``; None if stopped before its end.

        Raises:
            InputError: if the loss is no longer a finite number.
        """
        position, schedule, started = self.position, self.schedule, time.monotonic()
        with _torch_threads(self._threads):
            self.step.begin(self._source.epoch(position.epoch, schedule.steps_per_epoch), position)
            while position.step < schedule.steps_per_epoch:
                stop = self.step.run(stop_requested())
                bar.update(schedule.samples(position.step))
                position.step += 1
                if stop:
                    break
        self._add_loss(position)
        position.seconds += time.monotonic() - started
        if position.step < schedule.steps_per_epoch:
            return None
        self.position = Position(position.epoch + 1)
        return {
            "loss": position.loss / schedule.samples_per_epoch,
            "seconds": position.seconds,
            "samples_per_second": schedule.samples_per_epoch / max(position.seconds, 1e-9),
        }

    def _add_loss(self, position: Position) -> None:
        loss = self.step.loss
        if not all(bool(weight.isfinite().all()) for weight in self.network.parameters()):
            loss = loss * math.nan  # the loss of NaN weights may be finite: the compiled ReLU of NaN may be 0
        position.loss += float(self._world.all_reduce(loss))
        if not math.isfinite(position.loss):
            raise InputError(
                f"the loss is {position.loss} in epoch {position.epoch}: parameter 'learning_rate' is "
                f"{self._settings.learning_rate}; lower it"
            )

    def restore(self, tensors: Mapping[str, Tensor], position: Position) -> None:
        """Continue from ``state.tensors()`` of the first process at ``position``."""
        self.position = position
        self.state.restore(tensors, (position.epoch - 1) * self.schedule.steps_per_epoch + position.step)
