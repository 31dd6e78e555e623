"""One fit: a network, its optimiser and schedule, and the steps of an epoch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ncf.errors import InputError
from ncf.models.networks import USER_TABLES, Network, is_tower
from ncf.progress import Progress
from ncf.training.adam import MOMENTS, AdamState, lazy_tables
from ncf.training.batches import Epoch, EpochSource, derived_seed, samples_in_step, step_bounds
from ncf.training.device_step import DeviceStep
from ncf.training.distributed import World
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.kernel import Kernel
from ncf.training.kernel.draws import DrawnEpoch
from ncf.training.l2 import add_l2

_WORK_FOR_A_THREAD = 3e7
"""Multiplications, some milliseconds: with less, torch's threads wait more than they work."""

_MET = ":met"
"""After the name of a lazy table in a checkpoint: the step that each row was last updated in."""


@dataclass
class Position:
    """How far a fit is: what, beside the weights, makes it go on as if it had never stopped.

    Attributes:
        epoch: the epoch under way, from 1.
        step: steps done in it.
        loss: sum over the epoch's samples so far, of all processes.
        seconds: spent on the epoch so far.
    """

    epoch: int = 1
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0


@contextmanager
def _threads(number: int) -> Iterator[None]:
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
    step in all processes (He et al. 2017, equation 7).

    Args:
        network: this process's, on its device.
        source: epochs of the users that this process owns.
        positives: int64 [processes], positives of each process.
        bounds: int64 [processes + 1], ranges of users that the processes own.
        settings: hyperparameters.
        world: the processes.
        seed: of dropout, one for each fit and process.
        on_device: whether steps run whole on the device; None: on a GPU, if it trains alone.
    """

    def __init__(
        self,
        network: Network,
        source: EpochSource,
        positives: NDArray[np.int64],
        bounds: NDArray[np.int64],
        settings: Hyperparameters,
        world: World,
        seed: list[int],
        on_device: bool | None = None,
    ) -> None:
        self.network, self.position = network, Position()
        self._source, self._positives, self._bounds = source, positives, bounds
        self._settings, self._world, self._seed = settings, world, seed
        total = int(positives.sum())
        batch = min(settings.positives_per_batch(total), total)
        self.steps = -(-total // batch)
        self.samples_per_epoch = total * (1 + settings.negatives)
        self._peak = settings.scaled_learning_rate(batch)
        self._label = torch.zeros(1 + settings.negatives, device=world.device)
        self._label[0] = 1  # the positive stands first
        self._shared = [weight for name, weight in network.named_parameters() if name not in USER_TABLES]
        on_gpu = world.device.type == "cuda"
        on_device = on_gpu and world.size == 1 if on_device is None else on_device
        rate = torch.tensor(self._peak, device=world.device) if on_device else self._peak
        self._optimiser = torch.optim.Adam(self._groups(), lr=rate, fused=True, capturable=on_device)
        rows = int(bounds[-1]), batch, batch * (1 + settings.negatives)
        lazy = frozenset[str]() if on_device else lazy_tables(network, *rows)
        self._adam = AdamState(network, self._optimiser, self.learning_rate, settings.epochs * self.steps, lazy)
        self._met = (torch.empty(0, dtype=torch.int32),) * 2
        self.device_step: DeviceStep | None = None
        if isinstance(rate, Tensor):
            rates = [self.learning_rate(step) for step in range(settings.epochs * self.steps)]
            bounds_of_steps = step_bounds(total, self.steps)
            self.device_step = DeviceStep(
                network, self._optimiser, rate, bounds_of_steps, rates, len(self._label), settings.l2, capture=on_gpu
            )
        compiled = not on_device and Kernel.fits(network)
        self._kernel = Kernel(network, self._adam, torch.get_num_threads(), settings.l2) if compiled else None
        work = batch * (1 + settings.negatives) / world.size * network.multiplications(1 + settings.negatives)
        self._threads = min(torch.get_num_threads(), max(1, int(work // _WORK_FOR_A_THREAD)))

    def _groups(self) -> list[dict[str, Any]]:
        """Adam's ``weight_decay`` adds ``weight_decay * weight`` to the gradient: the L2 term of the tower."""
        return [
            {"params": [weight], "weight_decay": self._settings.tower_l2 if is_tower(name) else 0.0}
            for name, weight in self.network.named_parameters()
        ]

    def learning_rate(self, step: int) -> float:
        """At a step of the whole fit, from 0: a linear rise, and half a cosine that is 0 after all epochs."""
        warmup = self._settings.warmup * self.steps
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return self._peak * rise * 0.5 * (1 + math.cos(math.pi * step / (self._settings.epochs * self.steps)))

    def run_epoch(self, stop_requested: Callable[[], bool], bar: Progress) -> dict[str, float] | None:
        """Go on from ``position`` to the end of its epoch, and move on to the next.

        Args:
            stop_requested: asked after each step; one process that says yes stops all.
            bar: counts samples of all processes.

        Returns:
            The epoch's mean ``loss``, ``seconds`` and ``samples_per_second``; None if stopped before its end.

        Raises:
            InputError: if the loss is no longer a finite number.
        """
        place, started, before = self.position, time.monotonic(), self.position.seconds
        epoch = self._source.epoch(place.epoch, self.steps)
        loss_sum = torch.zeros((), dtype=torch.float64, device=self._world.device)
        stop = False
        with _threads(self._threads):
            if self.device_step is not None:
                loss_sum = self._run_on_device(self.device_step, epoch, stop_requested, bar)
            batches = epoch.batches(place.step) if self.device_step is None else ()
            for (users, items), samples in zip(batches, self._samples(place.step), strict=False):
                loss_sum += self._accumulate_gradients(users, items, samples)
                stop = self._share_gradients(stop_requested())
                place.step += 1
                self._update(settle=place.step == self.steps)
                bar.update(samples)
                if stop and place.step < self.steps:
                    break
        if not all(bool(weight.isfinite().all()) for weight in self.network.parameters()):
            loss_sum = loss_sum * math.nan  # which the compiled step need not notice: a ReLU of it may give NaN as 0
        place.loss += float(self._world.add_up(loss_sum))
        place.seconds = before + time.monotonic() - started
        if not math.isfinite(place.loss):
            raise InputError(
                f"the loss is {place.loss} in epoch {place.epoch}: parameter 'learning_rate' is "
                f"{self._settings.learning_rate}; lower it"
            )
        if place.step < self.steps:
            return None
        self.position = Position(place.epoch + 1)
        rate = self.samples_per_epoch / max(place.seconds, 1e-9)
        return {
            "loss": place.loss / self.samples_per_epoch,
            "seconds": place.seconds,
            "samples_per_second": rate,
        }

    def _run_on_device(
        self, steps: DeviceStep, epoch: Epoch | DrawnEpoch, stop_requested: Callable[[], bool], bar: Progress
    ) -> Tensor:
        """Queue the epoch's steps; the host waits for none of them, only the caller for the summed loss."""
        place = self.position
        steps.begin(epoch.batches(0), place.step, (place.epoch - 1) * self.steps + place.step)
        for samples in self._samples(place.step):
            steps.run(self._dropout_seed if self.network.dropout else None)
            place.step += 1
            bar.update(samples)
            if stop_requested():
                break
        return steps.loss

    def _dropout_seed(self) -> int:
        return derived_seed(*self._seed, self.position.epoch, self.position.step)

    def _samples(self, first_step: int) -> Iterator[int]:
        for step in range(first_step, self.steps):
            yield samples_in_step(step, self.steps, self._positives, len(self._label))

    def _accumulate_gradients(self, users: Tensor, items: Tensor, samples: int) -> Tensor | float:
        """Gradients of this process's part of a step, and its summed loss."""
        if self._kernel is not None:
            return self._kernel.add_gradients(users, items, 1 / samples, self._world.union)
        if self._adam.is_lazy:
            self._met = torch.unique(users), self._world.union(torch.unique(items))
            self._adam.catch_up(*self._met)
        if self.network.dropout:
            torch.manual_seed(self._dropout_seed())
        logits = self.network(users, items)  # [B, 1 + negatives]
        loss = F.binary_cross_entropy_with_logits(logits, self._label.expand_as(logits), reduction="sum")
        self._optimiser.zero_grad()
        torch.autograd.backward(loss / samples)
        if self._settings.l2:
            add_l2(self.network, users, items, self._settings.l2 / samples)
        return loss.detach()

    def _share_gradients(self, stop: bool) -> bool:
        """Sum the gradients of the weights that all processes have; whether any of them is to stop."""
        if self._kernel is not None:
            return self._world.sum_message(self._kernel.message, stop)
        return self._world.add_up_all([weight.grad for weight in self._shared if weight.grad is not None], stop)

    def _update(self, settle: bool) -> None:
        """Adam's step, after which all rows of lazy tables are brought up to date if ``settle``."""
        if self._kernel is not None:
            self._kernel.update()
        else:
            self._adam.update(*self._met)
        if settle and self._adam.is_lazy:
            (self._kernel or self._adam).settle()
        self._adam.advance()

    def weights(self) -> dict[str, Tensor]:
        """All weights, user rows of all processes joined: on the CPU of the first, empty elsewhere."""
        return self._gathered(dict(self.network.named_parameters()))

    def state(self) -> dict[str, Tensor]:
        """Weights and where Adam stands with each, as :meth:`weights`."""
        return self._gathered(dict(self._tensors()))

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, weight in self.network.named_parameters():
            yield name, weight
            yield from zip((f"{name}:{moment}" for moment in MOMENTS), self._adam.moments(name), strict=True)
            met = self._adam.met(name)
            if met is not None:
                yield f"{name}{_MET}", met

    def _gathered(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        whole = {}
        for name, tensor in tensors.items():
            if name.split(":")[0] in USER_TABLES:
                joined = self._world.gather_rows(tensor, self._bounds)
                if joined is not None:
                    whole[name] = joined
            elif self._world.is_first:
                whole[name] = tensor.detach().cpu()
        return whole

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Start from ``weights``, whole tables, of the first process; the others get their parts from it."""
        with torch.no_grad():
            for name, tensor in self.network.named_parameters():
                self._spread(name, weights.get(name), tensor)

    def _spread(self, name: str, value: Tensor | None, own: Tensor) -> None:
        if name.split(":")[0] in USER_TABLES:
            self._world.scatter_rows(value, own, self._bounds)
            return
        if self._world.is_first:
            assert value is not None
            own.copy_(value)
        self._world.broadcast(own)

    def restore(self, state: dict[str, Tensor], position: Position) -> None:
        """Continue from what :meth:`state` gave: in the first process; the others get their parts from it.

        The state may be that of another device, where other tables were lazy.
        """
        self.position = position
        step = (position.epoch - 1) * self.steps + position.step
        behind = {}
        with torch.no_grad():
            for name, tensor in self._tensors():
                own = state.get(name)
                if own is None and name.endswith(_MET) and self._world.is_first:  # was updated in every step
                    own = torch.full((len(state[name.removesuffix(_MET)]),), step, dtype=torch.int32)
                self._spread(name, own, tensor)
            tables = dict(self.network.named_parameters())
            lazy_there = [name.removesuffix(_MET) for name in state if name.endswith(_MET)]
            for name in json.loads(self._world.share(json.dumps(lazy_there))):
                if name not in self._adam.lazy:
                    behind[name] = torch.zeros(len(tables[name]), dtype=torch.int32, device=self._world.device)
                    self._spread(f"{name}{_MET}", state.get(f"{name}{_MET}"), behind[name])
        self._adam.go_to(step, behind)
