"""Training steps that the host runs operation by operation, in one process or in several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ncf.models.networks import USER_TABLES, Network
from ncf.training.adam import AdamState
from ncf.training.distributed import World
from ncf.training.l2 import add_l2
from ncf.training.schedule import Schedule
from ncf.training.seeds import derived_seed
from ncf.training.step import Batch, Epoch, Position

BatchT = TypeVar("BatchT")


class HostStep(ABC, Generic[BatchT]):
    """Gradients of this process, their sum over all processes, then Adam.

    Args:
        adam: state of the optimiser.
        schedule: of the fit.
        world: the processes.

    Attributes:
        adam: state of the optimiser.
        loss: float64 [], sum over this process's samples since :meth:`begin`.
    """

    def __init__(self, adam: AdamState, schedule: Schedule, world: World) -> None:
        self.adam, self._schedule, self._world = adam, schedule, world
        self.loss = torch.zeros((), dtype=torch.float64, device=world.device)
        self._epoch = self._step = 0
        self._batches: Iterator[BatchT] = iter(())

    def begin(self, epoch: Epoch[BatchT], position: Position) -> None:
        """Take the samples of an epoch, from the step at ``position`` on."""
        self._epoch, self._step = position.epoch, position.step
        self._batches = epoch.batches(position.step)
        self.loss = torch.zeros_like(self.loss)

    def run(self, stop: bool) -> bool:
        """Run the next step; see :meth:`ncf.training.step.Step.run`."""
        self.loss += self._compute_gradients(next(self._batches), self._schedule.samples(self._step))
        stop = self._sum_gradients(stop)
        self._step += 1
        self._update()
        if self._step == self._schedule.steps_per_epoch and self.adam.is_lazy:
            self._settle()
        self.adam.advance()
        return stop

    @abstractmethod
    def _compute_gradients(self, batch: BatchT, samples: int) -> Tensor | float:
        """Set the gradients of this process's samples; return their summed loss.

        Args:
            batch: this process's samples.
            samples: of the step in all processes, whose mean is the loss.
        """

    @abstractmethod
    def _sum_gradients(self, stop: bool) -> bool:
        """Sum the gradients of the weights that all processes have; return whether any process is to stop."""

    @abstractmethod
    def _update(self) -> None:
        """Update the weights by Adam."""

    @abstractmethod
    def _settle(self) -> None:
        """Bring all rows of lazy tables to the end of this step."""


class AutogradStep(HostStep[Batch]):
    """Steps by torch's autograd and optimiser.

    Args:
        network: this process's, on its device.
        optimiser: over the network's weights.
        adam: state of the optimiser.
        schedule: of the fit.
        world: the processes.
        l2: of the embeddings, see :mod:`ncf.training.l2`.
        seed: of dropout, one for each fit and process.
    """

    def __init__(
        self,
        network: Network,
        optimiser: torch.optim.Adam,
        adam: AdamState,
        schedule: Schedule,
        world: World,
        l2: float,
        seed: list[int],
    ) -> None:
        super().__init__(adam, schedule, world)
        self._network, self._optimiser, self._l2, self._seed = network, optimiser, l2, seed
        self._shared = [weight for name, weight in network.named_parameters() if name not in USER_TABLES]
        self._label = torch.zeros(schedule.samples_per_positive, device=world.device)
        self._label[0] = 1  # the positive comes first
        self._rows = (torch.empty(0, dtype=torch.int32),) * 2  # of lazy user and item tables

    def _compute_gradients(self, batch: Batch, samples: int) -> Tensor:
        users, items = batch
        if self.adam.is_lazy:
            self._rows = torch.unique(users), self._world.union(torch.unique(items))
            self.adam.catch_up(*self._rows)
        if self._network.dropout:
            torch.manual_seed(derived_seed(*self._seed, self._epoch, self._step))
        logits = self._network(users, items)  # [B, 1 + negatives]
        loss = F.binary_cross_entropy_with_logits(logits, self._label.expand_as(logits), reduction="sum")
        self._optimiser.zero_grad()
        torch.autograd.backward(loss / samples)
        if self._l2:
            add_l2(self._network, users, items, self._l2 / samples)
        return loss.detach()

    def _sum_gradients(self, stop: bool) -> bool:
        return self._world.all_reduce_many([weight.grad for weight in self._shared if weight.grad is not None], stop)

    def _update(self) -> None:
        self.adam.update(*self._rows)

    def _settle(self) -> None:
        self.adam.settle()
