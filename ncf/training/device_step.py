"""Whole training steps on the device: fixed shapes, counters and schedule in its memory, no wait for the host.

On a GPU they are captured in a CUDA graph and replayed; everywhere the very same function can run eagerly. What a step
calls may be captured: torch's backward pass of an embedding keeps its counts on the device, and its Adam is fused and
capturable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ncf.models.networks import Network

_log = logging.getLogger(__name__)

_WARM_UP = 3
"""Steps that run eagerly before the capture, on the stream of the capture, as torch's notes on CUDA graphs ask."""


class DeviceStep:
    """The steps of a fit in a process of its own.

    A step reads its rows from the buffers of the epoch by a counter on the device. Steps differ by a row at most:
    all take as many as the largest, and the rows too many have no weight.

    Args:
        network: on its device.
        optimiser: capturable, with the tensor ``rate`` as learning rate of all groups.
        rate: float32 [], of the next step.
        bounds: first row of each step of an epoch, and the number of rows.
        rates: learning rate of each step of the whole fit.
        samples_per_row: a positive and its negatives.
        capture: whether to capture; only on a GPU.
            A capture that fails is a warning, and steps run eagerly.
    """

    def __init__(
        self,
        network: Network,
        optimiser: torch.optim.Adam,
        rate: Tensor,
        bounds: Sequence[int],
        rates: Sequence[float],
        samples_per_row: int,
        capture: bool,
    ) -> None:
        device = rate.device
        self._network, self._optimiser, self._rate = network, optimiser, rate
        self._bounds = torch.tensor(bounds, device=device)  # [steps + 1]
        rows = self._bounds.diff()
        self._scales = 1 / (rows * samples_per_row).float()  # [steps]
        self._rates = torch.tensor(rates, dtype=torch.float32, device=device)
        self._lanes = torch.arange(int(rows.max()), device=device)  # [B]
        self._users = torch.zeros(bounds[-1], dtype=torch.int32, device=device)
        self._items = torch.zeros(bounds[-1], samples_per_row, dtype=torch.int32, device=device)
        self._label = torch.zeros(samples_per_row, device=device)
        self._label[0] = 1  # the positive stands first
        # of one element, as indexing by a tensor without dimensions would ask the device for its value
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

    def begin(self, batches: Iterable[tuple[Tensor, Tensor]], step: int, done: int) -> None:
        """Take the samples of an epoch, and stand before a step of it.

        Args:
            batches: users [B] and items [B, 1 + negatives] of each of its steps, from the first one on.
            step: the next step, from 0.
            done: steps of the whole fit before it.
        """
        row = 0
        for users, items in batches:
            self._users[row : row + len(users)] = users
            self._items[row : row + len(users)] = items
            row += len(users)
        self._step.fill_(step)
        self._done.fill_(done)
        self.loss.zero_()

    def run(self, seed: Callable[[], int] | None) -> None:
        """Queue the next step.

        Args:
            seed: gives that of the step's dropout; None without. A replayed graph takes seed and offset of the
                device's default generator as they are when it is launched, so the masks are those of an eager step.
        """
        if seed is not None:
            torch.manual_seed(seed())
        if self._graph is None and self._warm_up == 0:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        elif self._stream is not None and self._warm_up > 0:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._eagerly()
            torch.cuda.current_stream().wait_stream(self._stream)
            self._warm_up -= 1
        else:
            self._eagerly()

    def _capture(self) -> None:
        """Record a step; what is recorded is not run."""
        graph = torch.cuda.CUDAGraph()
        self._warm_up = -1
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._eagerly()
        except RuntimeError as error:
            _log.warning("training steps are not captured in a CUDA graph, so they run one kernel at a time: %s", error)
            self._optimiser.zero_grad()
        else:
            self._graph = graph

    def _eagerly(self) -> None:
        start, end = self._bounds[self._step], self._bounds[self._step + 1]  # [1]
        rows = start + self._lanes  # [B]
        weight = (rows < end).unsqueeze(1)  # [B, 1]
        rows = torch.minimum(rows, end - 1)
        logits = self._network(self._users[rows], self._items[rows])  # [B, 1 + negatives]
        losses = F.binary_cross_entropy_with_logits(logits, self._label.expand_as(logits), reduction="none")
        loss = (losses * weight).sum()
        self._optimiser.zero_grad()
        torch.autograd.backward(loss * self._scales[self._step].squeeze(0))
        self._rate.copy_(self._rates[self._done].squeeze(0))
        self._optimiser.step()
        self.loss += loss.detach()
        self._step += 1
        self._done += 1
