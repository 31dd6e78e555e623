"""Training steps on the CPU by compiled code, several times as fast as autograd and torch's Adam.

The code is compiled on the machine, or in the image, that trains; see ``building``. Without it, on a GPU and with
dropout, torch trains equally well.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ncf.models.networks import ITEM_TABLES, USER_TABLES, Network
from ncf.storage import sha256
from ncf.training.adam import AdamState
from ncf.training.kernel import structures
from ncf.training.kernel.structures import MOST_LAYERS, address, compiled

_MOST_THREADS = 16
"""Chunks of a step (``CHUNKS`` of workspace.h). More threads would be idle."""


def is_available() -> bool:
    """Whether the compiled code exists and can be loaded; if not, a warning is logged. Call it only before use."""
    return structures.library() is not None


def digest() -> str:
    """SHA-256 of the file of the compiled code; '' if there is none."""
    return sha256(structures.LIBRARY) if structures.LIBRARY.exists() else ""


class Kernel:
    """Gradients and updates of a network's steps. The weights do not depend on the number of threads.

    Args:
        network: on the CPU, without dropout. Its weights are updated in place.
        state: of its optimiser, updated in place.
        threads: of each step.
        l2: of the embeddings, see :mod:`ncf.training.l2`.

    Raises:
        ValueError: if the compiled code does not support the network; see :meth:`fits`.
    """

    def __init__(self, network: Network, state: AdamState, threads: int, l2: float = 0.0) -> None:
        if not self.fits(network):
            raise ValueError("the compiled step supports networks on the CPU, without dropout, of at most 16 layers")
        self._network, self.adam, self._l2 = network, state, l2
        self._workspace = compiled().ncf_new_workspace(structures.thread_pool(min(threads, _MOST_THREADS)))
        weakref.finalize(self, compiled().ncf_delete_workspace, self._workspace)
        self._dense = {n: w for n, w in network.named_parameters() if n not in USER_TABLES + ITEM_TABLES}
        self._tables = {n: w for n, w in network.named_parameters() if n in USER_TABLES + ITEM_TABLES}
        self._buffers: dict[str, Tensor] = {}
        self._shared: dict[str, Tensor] = {}
        self._step = structures.StepData()
        self._describe()

    @staticmethod
    def fits(network: Network) -> bool:
        """Whether the compiled code supports this network and is available, which is checked last."""
        on_cpu = network.output.weight.device.type == "cpu"
        layers = len(network.tower) if network.has_mlp else 0
        is_plain = not network.dropout and not network.mixed_precision
        return on_cpu and is_plain and layers <= MOST_LAYERS and is_available()

    def _describe(self) -> None:
        """Set the fields that all steps have in common."""
        network, step = self._network, self._step
        step.l2 = self._l2
        step.n_items, step.n_users = network.n_items, next(iter(self._tables.values())).shape[0]
        if network.has_gmf:
            step.factors = network.user_gmf.embedding_dim
        if network.has_mlp:
            step.layers = len(network.tower)
            step.widths[0] = network.user_mlp.embedding_dim
            for index, layer in enumerate(network.tower):
                step.widths[index + 1] = cast(nn.Linear, layer).out_features
        for name, weight in self._tables.items():
            table = getattr(step, name.removesuffix(".weight"))
            table.rows, table.width = weight.shape
            table.weight = address(weight)
            table.mean, table.square = (address(moment) for moment in self.adam.moments(name))
            table.last_step = address(self.adam.last_step(name))
        for name, weight in self._dense.items():
            array = self._array(name)
            array.size, array.weight, array.l2 = weight.numel(), address(weight), self.adam.l2[name]
            array.mean, array.square = (address(moment) for moment in self.adam.moments(name))

    def _array(self, name: str) -> structures.Array:
        if name.startswith("output."):
            found = self._step.output if name == "output.weight" else self._step.output_bias
        else:
            _, layer, kind = name.split(".")  # tower.<layer>.<kind>
            found = getattr(self._step, kind)[int(layer)]
        return cast(structures.Array, found)

    def add_gradients(
        self, users: Tensor, items: Tensor, scale: float, union: Callable[[Tensor], Tensor] = lambda rows: rows
    ) -> float:
        """Set the gradients of a step; ``message`` holds those of the weights that all processes have.

        Args:
            users: int32 [B], rows of the user tables.
            items: int32 [B, C], the positive first.
            scale: factor of the gradients: one over the samples of the step in all processes.
            union: takes the distinct items of this process, int32 [n], ascending, and returns those of all processes.

        Returns:
            The summed loss, not scaled.
        """
        step = self._step
        step.positives, step.fan, step.scale = *items.shape, scale
        distinct = self._sort(users, items)
        self._rows = None if distinct is None else union(distinct)
        step.rows = address(self._rows)
        self._make_room(step.n_items if self._rows is None else len(self._rows))
        self._set_adam()
        loss = float(compiled().ncf_gradients(self._workspace, ctypes.byref(step)))
        if self._network.fixed_gmf_output:
            self._shared["output.weight"][:, : step.factors] = 0
        return loss

    def _sort(self, users: Tensor, items: Tensor) -> Tensor | None:
        """Order samples by user, and then by item; return the distinct items, ascending, if item tables are lazy."""
        self._samples = users, items  # the compiled code has their addresses
        self._step.users, self._step.items = address(users), address(items)
        lazy = self.adam.lazy_items
        distinct = self._room("distinct items", items.numel(), torch.int32) if lazy else None
        found = compiled().ncf_sort(self._workspace, ctypes.byref(self._step), address(distinct))
        if found == structures.OUT_OF_RANGE:
            raise ValueError(f"users are not all below {self._step.n_users}, or items not below {self._step.n_items}")
        if found == structures.NOT_ASCENDING:
            users, order = torch.sort(users, stable=True)
            return self._sort(users, items[order])
        return None if distinct is None else distinct[:found]

    def _make_room(self, n_rows: int) -> None:
        """Allocate the gradients: shared ones side by side in ``message``, whose last number is free."""
        step = self._step
        for name, weight in self._tables.items():
            if name in USER_TABLES:
                where = f"d_{name.removesuffix('.weight')}"
                setattr(step, where, address(self._room(where, step.positives * weight.shape[1])))
        if step.n_rows == n_rows and self._shared:
            return
        step.n_rows = n_rows
        items = {name: weight for name, weight in self._tables.items() if name in ITEM_TABLES}
        sizes = [w.numel() for w in self._dense.values()] + [n_rows * w.shape[1] for w in items.values()]
        self.message = self._room("message", sum(sizes) + 1)[: sum(sizes) + 1]
        parts = iter(torch.split(self.message, [*sizes, 1]))
        for name, weight in self._dense.items():
            self._shared[name] = next(parts).view(weight.shape)
            self._array(name).gradient = address(self._shared[name])
        for name, weight in items.items():
            self._shared[name] = next(parts).view(n_rows, weight.shape[1])
            setattr(step, f"d_{name.removesuffix('.weight')}", address(self._shared[name]))

    def _room(self, name: str, size: int, kind: torch.dtype = torch.float32) -> Tensor:
        if name not in self._buffers or len(self._buffers[name]) < size:
            self._buffers[name] = torch.empty(size + size // 8 + 1, dtype=kind)
        return self._buffers[name]

    def _set_adam(self) -> None:
        adam, state = self._step.adam, self.adam
        adam.beta1, adam.beta2, adam.epsilon = state.betas[0], state.betas[1], state.epsilon
        adam.step, adam.rate, adam.scale = state.step + 1, state.rate, state.scale
        adam.scale_after, adam.drift = address(state.scale_after), address(state.drift)

    def update(self) -> None:
        """Update all weights by the gradients of :meth:`add_gradients`."""
        compiled().ncf_update(self._workspace, ctypes.byref(self._step))

    def settle(self) -> None:
        """After :meth:`update`: bring all rows of lazy tables to the end of the step, by gradients of 0."""
        compiled().ncf_settle(self._workspace, ctypes.byref(self._step))
