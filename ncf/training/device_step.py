"""Whole training steps on the device: fixed shapes, counters and schedule in its memory, no wait for the host.

On a GPU they are captured in a CUDA graph and replayed; the same function can run eagerly on any device. All operations
of a step can be captured: torch's backward pass of an embedding keeps its counts on the device, and its Adam is fused
and capturable.
"""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F
from torch import Tensor

from ncf.models.networks import Network
from ncf.training.adam import AdamState
from ncf.training.l2 import add_l2
from ncf.training.schedule import Schedule
from ncf.training.seeds import derived_seed
from ncf.training.step import Batch, Epoch, Position

_log = logging.getLogger(__name__)

_WARM_UP = 3
"""Eager steps before the capture, on its stream, as torch's notes on CUDA graphs require."""


class DeviceStep:
    """The steps of a fit in a single process.

    A step reads its rows from the buffers of the epoch by a counter on the device. The numbers of rows of two steps
    differ by one at most: all steps take as many rows as the largest, and a surplus row has no weight.

    Args:
        network: on its device.
        optimiser: capturable, with the tensor ``rate`` as learning rate of all groups.
        adam: state of the optimiser.
        rate: float32 [], of the next step.
        schedule: of the fit.
        l2: of the embeddings, see :mod:`ncf.training.l2`.
        seed: of dropout, one for each fit.
        capture: whether to capture; only on a GPU. Where a capture fails, a warning is logged and steps run eagerly.

    Attributes:
        adam: state of the optimiser.
        loss: float64 [], sum over the samples since :meth:`begin`.
    """

    def __init__(
        self,
        network: Network,
        optimiser: torch.optim.Adam,
        adam: AdamState,
        rate: Tensor,
        schedule: Schedule,
        l2: float,
        seed: list[int],
        capture: bool,
    ) -> None:
        device, bounds = rate.device, schedule.first_rows()
        self._network, self._optimiser, self._rate, self._l2 = network, optimiser, rate, l2
        self.adam, self._schedule, self._seed = adam, schedule, seed
        self._epoch = self._host_step = 0
        self._bounds = torch.tensor(bounds, device=device)  # [steps + 1]
        rows = self._bounds.diff()
        fan = schedule.samples_per_positive
        self._scales = 1 / (rows * fan).float()  # [steps]
        rates = [schedule.learning_rate(step) for step in range(schedule.steps)]
        self._rates = torch.tensor(rates, dtype=torch.float32, device=device)
        self._lanes = torch.arange(int(rows.max()), device=device)  # [B]
        self._users = torch.zeros(bounds[-1], dtype=torch.int32, device=device)
        self._items = torch.zeros(bounds[-1], fan, dtype=torch.int32, device=device)
        self._label = torch.zeros(fan, device=device)
        self._label[0] = 1  # the positive comes first
        # of one element: indexing by a tensor without dimensions would copy its value to the host
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        self._done = torch.zeros(1, dtype=torch.int64, device=device)
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self._warm_up = _WARM_UP if capture else -1
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream(device) if capture else None  # type: ignore[no-untyped-call]

    @property
    def is_captured(self) -> bool:
        """Whether steps are replayed from a graph."""
        return self._graph is not None

    def begin(self, epoch: Epoch[Batch], position: Position) -> None:
        """Copy all samples of an epoch to the device; the next step is the one at ``position``."""
        row = 0
        for users, items in epoch.batches(0):
            self._users[row : row + len(users)] = users
            self._items[row : row + len(users)] = items
            row += len(users)
        self._epoch, self._host_step = position.epoch, position.step
        self._step.fill_(position.step)
        self._done.fill_((position.epoch - 1) * self._schedule.steps_per_epoch + position.step)
        self.loss.zero_()

    def run(self, stop: bool) -> bool:
        """Queue the next step, for which the host does not wait; see :meth:`ncf.training.step.Step.run`.

        A replayed graph takes seed and offset of the device's default generator as they are when it is launched, so
        the masks of dropout are those of an eager step.
        """
        if self._network.dropout:
            torch.manual_seed(derived_seed(*self._seed, self._epoch, self._host_step))
        self._host_step += 1
        if self._graph is None and self._warm_up == 0:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        elif self._stream is not None and self._warm_up > 0:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._run_eagerly()
            torch.cuda.current_stream().wait_stream(self._stream)
            self._warm_up -= 1
        else:
            self._run_eagerly()
        return stop

    def _capture(self) -> None:
        """Record a step without running it."""
        graph = torch.cuda.CUDAGraph()
        self._warm_up = -1
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._run_eagerly()
        except RuntimeError as error:
            _log.warning("training steps are not captured in a CUDA graph, so they run one kernel at a time: %s", error)
            self._optimiser.zero_grad()
        else:
            self._graph = graph

    def _run_eagerly(self) -> None:
        start, end = self._bounds[self._step], self._bounds[self._step + 1]  # [1]
        rows = start + self._lanes  # [B]
        weight = (rows < end).unsqueeze(1)  # [B, 1]
        rows = torch.minimum(rows, end - 1)
        users, items = self._users[rows], self._items[rows]
        logits = self._network(users, items)  # [B, 1 + negatives]
        losses = F.binary_cross_entropy_with_logits(logits, self._label.expand_as(logits), reduction="none")
        loss = (losses * weight).sum()
        self._optimiser.zero_grad()
        scale = self._scales[self._step]  # [1]
        torch.autograd.backward(loss * scale.squeeze(0))
        if self._l2:
            add_l2(self._network, users, items, self._l2 * scale * weight)
        self._rate.copy_(self._rates[self._done].squeeze(0))
        self._optimiser.step()
        self.loss += loss.detach()
        self._step += 1
        self._done += 1
