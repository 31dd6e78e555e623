"""Training steps by compiled code."""

from __future__ import annotations

from ncf.training.distributed import World
from ncf.training.host_step import HostStep
from ncf.training.kernel import Kernel
from ncf.training.schedule import Schedule
from ncf.training.step import Batch


class KernelStep(HostStep[Batch]):
    """Steps on a CPU, without dropout.

    Args:
        kernel: of the network and its optimiser.
        schedule: of the fit.
        world: the processes.
    """

    def __init__(self, kernel: Kernel, schedule: Schedule, world: World) -> None:
        super().__init__(kernel.adam, schedule, world)
        self._kernel = kernel

    def _compute_gradients(self, batch: Batch, samples: int) -> float:
        users, items = batch
        return self._kernel.add_gradients(users, items, 1 / samples, self._world.union)

    def _sum_gradients(self, stop: bool) -> bool:
        return self._world.all_reduce_message(self._kernel.message, stop)

    def _update(self) -> None:
        self._kernel.update()

    def _settle(self) -> None:
        self._kernel.settle()
