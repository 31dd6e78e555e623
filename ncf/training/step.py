"""The interface between the training loop and what computes a training step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor

from ncf.training.adam import AdamState

Batch = tuple[Tensor, Tensor]
"""Samples of a step: users, int32 [B], and items, int32 [B, 1 + negatives], the positive first."""

BatchT_co = TypeVar("BatchT_co", covariant=True)


class Epoch(Protocol[BatchT_co]):
    """The samples of one epoch in one process."""

    def batches(self, first_step: int) -> Iterator[BatchT_co]:
        """The samples of each step from ``first_step`` on."""


class EpochSource(Protocol[BatchT_co]):
    """The epochs of one fit in one process. They depend only on the seed and the number of the epoch."""

    def epoch(self, number: int, steps: int) -> Epoch[BatchT_co]:
        """Epoch ``number``, from 1, in ``steps`` steps."""


@dataclass
class Position:
    """Progress of a fit.

    Attributes:
        epoch: current epoch, from 1.
        step: steps done in it.
        loss: sum over the epoch's samples so far, of all processes.
        seconds: spent on the epoch so far.
    """

    epoch: int = 1
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0


class Step(Protocol):
    """Training steps of one process: forward pass, gradients of all processes and Adam.

    The implementations are :class:`ncf.training.host_step.AutogradStep`, :class:`ncf.training.device_step.DeviceStep`,
    :class:`ncf.training.softmax_step.SoftmaxStep` and, where it is compiled,
    :class:`ncf.training.kernel.step.KernelStep`.
    """

    @property
    def adam(self) -> AdamState:
        """State of the optimiser."""

    @property
    def loss(self) -> Tensor:
        """float64 [], sum over this process's samples since :meth:`begin`."""

    def begin(self, epoch: Epoch[Any], position: Position) -> None:
        """Take the samples of an epoch, from the step at ``position`` on."""

    def run(self, stop: bool) -> bool:
        """Run the next step.

        Args:
            stop: whether this process is to stop after the step.

        Returns:
            Whether all processes stop, because any of them is to.
        """
