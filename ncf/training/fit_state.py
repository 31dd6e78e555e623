"""The weights and the optimiser's state of a fit: gathered from the processes, and distributed to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncf.models.networks import USER_TABLES, AnyNetwork
from ncf.training.adam import MOMENTS, AdamState
from ncf.training.distributed import World

_LAST_STEP = ":met"
"""Suffix, in a checkpoint, of the last step that updated each row of a lazy table."""


class FitState:
    """Weights and moments by name. A process has the rows of its own users, and all other tensors whole.

    Args:
        network: this process's.
        adam: state of its optimiser.
        world: the processes.
        bounds: int64 [processes + 1], ranges of users that the processes own.
    """

    def __init__(self, network: AnyNetwork, adam: AdamState, world: World, bounds: NDArray[np.int64]) -> None:
        self._network, self._adam, self._world, self._bounds = network, adam, world, bounds

    def weights(self) -> dict[str, Tensor]:
        """Whole weights, on the CPU of the first process; empty in the others."""
        return self._gathered(dict(self._network.named_parameters()))

    def tensors(self) -> dict[str, Tensor]:
        """Whole weights, moments and last steps of lazy tables, as :meth:`weights`."""
        return self._gathered(dict(self._own_tensors()))

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite the weights by ``weights`` of the first process, whole; other processes pass an empty mapping."""
        with torch.no_grad():
            for name, tensor in self._network.named_parameters():
                self._distribute(name, weights.get(name), tensor)

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Continue from :meth:`tensors` of the first process; other processes pass an empty mapping.

        They may come from another device, on which other tables were lazy.

        Args:
            tensors: of a checkpoint.
            step: steps of the whole fit that are done.
        """
        behind = {}
        with torch.no_grad():
            for name, tensor in self._own_tensors():
                value = tensors.get(name)
                if value is None and name.endswith(_LAST_STEP) and self._world.is_first:  # each step updated all rows
                    value = torch.full((len(tensors[name.removesuffix(_LAST_STEP)]),), step, dtype=torch.int32)
                self._distribute(name, value, tensor)
            tables = dict(self._network.named_parameters())
            lazy_there = [name.removesuffix(_LAST_STEP) for name in tensors if name.endswith(_LAST_STEP)]
            for name in json.loads(self._world.broadcast_text(json.dumps(lazy_there))):
                if name not in self._adam.lazy:
                    behind[name] = torch.zeros(len(tables[name]), dtype=torch.int32, device=self._world.device)
                    self._distribute(f"{name}{_LAST_STEP}", tensors.get(f"{name}{_LAST_STEP}"), behind[name])
        self._adam.go_to(step, behind)

    def _own_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, weight in self._network.named_parameters():
            yield name, weight
            yield from zip((f"{name}:{moment}" for moment in MOMENTS), self._adam.moments(name), strict=True)
            last_step = self._adam.last_step(name)
            if last_step is not None:
                yield f"{name}{_LAST_STEP}", last_step

    def _gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        whole = {}
        for name, tensor in tensors.items():
            if _is_of_users(name):
                rows = self._world.gather_rows(tensor, self._bounds)
                if rows is not None:
                    whole[name] = rows
            elif self._world.is_first:
                whole[name] = tensor.detach().cpu()
        return whole

    def _distribute(self, name: str, value: Tensor | None, own: Tensor) -> None:
        """Overwrite ``own`` in each process by its part of the first process's ``value``."""
        if _is_of_users(name):
            self._world.scatter_rows(value, own, self._bounds)
            return
        if self._world.is_first:
            assert value is not None
            own.copy_(value)
        self._world.broadcast(own)


def _is_of_users(name: str) -> bool:
    return name.split(":")[0] in USER_TABLES
