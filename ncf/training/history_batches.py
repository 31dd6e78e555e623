"""Epochs of the ``history`` network: positives of shuffled users, each with what its user had before.

The positives of a user stay together, so that an item is gathered once for all histories that it is in. Of a user with
many positives an epoch has only some, drawn anew, since metrics count users, not positives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.models.history_network import HistoryNetwork
from ncf.training.hyperparameters import MOST_POSITIVES
from ncf.training.schedule import first_row
from ncf.training.seeds import derived_seed

Numbers = NDArray[np.int64]


def positives_in_epoch(positives: ItemsByUser) -> Numbers:
    """Positives of each user in an epoch, int64 [users]."""
    return np.minimum(positives.counts(), MOST_POSITIVES)


@dataclass(frozen=True)
class HistoryBatch:
    """The positives of a step, and the histories of their users.

    Attributes:
        items: int64 [n], items of the users, one user after the other. With times, these are the positives and those
            just before them, oldest first; without times, all positives of these users.
        offsets: int64 [users + 1], first of each user in ``items``.
        rows: int64 [B], which of ``items`` are the step's positives.
        owners: int64 [B], number of each positive's user.
        weights: float32 [B], of each positive in the loss; None: 1 each.
    """

    items: Tensor
    offsets: Tensor
    rows: Tensor
    owners: Tensor
    weights: Tensor | None = None

    def vectors(self, network: HistoryNetwork, table: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of the users and embeddings of the positives, float32 [B, factors] each.

        Args:
            network: gives the weights of a history.
            table: float32 [rows, factors], embeddings.
            items: int64 [n], row of each of ``self.items`` in ``table``.
        """
        if network.is_sequential:
            embeddings = torch.nn.functional.embedding(items, table)
            begin = torch.repeat_interleave(self.offsets[:-1], self.offsets.diff())
            return network.before_each(embeddings, begin)[self.rows], embeddings[self.rows]
        own = torch.nn.functional.embedding(items[self.rows], table)
        return network.without(table, items, self.offsets, own, self.owners), own


class HistorySource:
    """Epochs of this process's users.

    Args:
        positives: of this process's users, numbered from 0, oldest first.
        weights: float32 [positives], of each in the loss, or None.
        history: number of latest items in a history; 0: all items.
        seed: one for each fit and process.
        device: of the batches.
    """

    def __init__(
        self,
        positives: ItemsByUser,
        weights: NDArray[np.float32] | None,
        history: int,
        seed: list[int],
        device: torch.device,
    ) -> None:
        self._history, self._seed, self._device = history, seed, device
        self._offsets = np.asarray(positives.offsets)
        self._weights = None if weights is None else torch.from_numpy(np.array(weights, np.float32)).to(device)
        self._items = torch.from_numpy(np.asarray(positives.items).astype(np.int64)).to(device)

    def epoch(self, number: int, steps: int) -> HistoryEpoch:
        """Epoch ``number``, from 1, in ``steps`` steps."""
        rng = np.random.default_rng(derived_seed(*self._seed, number))
        users = rng.permutation(len(self._offsets) - 1)
        counts = np.diff(self._offsets)
        chosen = np.minimum(counts, MOST_POSITIVES)
        if self._history:  # some in a row, so that their histories overlap
            first = rng.integers(0, counts - chosen + 1)
            positions = _ranges((self._offsets[:-1] + first)[users], chosen[users])
        else:
            keys = rng.random(len(self._items))
            order = np.lexsort((keys, np.repeat(np.arange(len(counts)), counts)))
            positions = order[_ranges(self._offsets[:-1][users], chosen[users])]
        owners = np.repeat(users, chosen[users])
        return HistoryEpoch(
            self._items, self._weights, self._offsets, positions, owners, steps, self._history, self._device
        )


@dataclass(frozen=True)
class HistoryEpoch:
    """One epoch in one process: steps of equal numbers of positives, in the order of shuffled users.

    Attributes:
        items: int64 [positives], by user, oldest first.
        weights: float32 [positives], of each in the loss, or None.
        offsets: int64 [users + 1].
        positions: int64 [n], the epoch's positives, as positions in ``items``; those of a user are side by side and,
            with times, ascend by one.
        owners: int64 [n], their users.
        steps: steps in the epoch, the same in every process.
        history: number of latest items in a history; 0: all items.
        device: of the batches.
    """

    items: Tensor
    weights: Tensor | None
    offsets: Numbers
    positions: Numbers
    owners: Numbers
    steps: int
    history: int
    device: torch.device

    def batches(self, first_step: int) -> Iterator[HistoryBatch]:
        """The positives of each step from ``first_step`` on."""
        total = len(self.positions)
        for step in range(first_step, self.steps):
            part = slice(first_row(step, total, self.steps), first_row(step + 1, total, self.steps))
            yield self._batch(self.positions[part], self.owners[part])

    def _batch(self, positions: Numbers, owners: Numbers) -> HistoryBatch:
        starts = np.flatnonzero(np.diff(owners, prepend=-1))  # first row of each user
        users, counts = owners[starts], np.diff(starts, append=len(owners))
        begin, end = self.offsets[users], self.offsets[users + 1]
        if self.history:
            begin, end = np.maximum(begin, positions[starts] - self.history), positions[starts] + counts
        offsets = np.concatenate([[0], np.cumsum(end - begin)])
        of_user = np.repeat(np.arange(len(users)), counts)
        rows = positions - (begin - offsets[:-1])[of_user]
        items = self.items[torch.from_numpy(_ranges(begin, end - begin)).to(self.device)]
        weights = None if self.weights is None else self.weights[torch.from_numpy(positions).to(self.device)]
        parts = [torch.from_numpy(part).to(self.device) for part in (offsets, rows, of_user)]
        return HistoryBatch(items, parts[0], parts[1], parts[2], weights)


def _ranges(begin: Numbers, lengths: Numbers) -> Numbers:
    """Numbers from each ``begin`` on, as many as ``lengths`` says, one range after the other; int64."""
    before = np.cumsum(lengths) - lengths
    ranges: Numbers = np.repeat(begin - before, lengths) + np.arange(int(lengths.sum()))
    return ranges
