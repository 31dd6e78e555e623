"""Epochs of the ``history`` network: positives of shuffled users, each with what its user had before.

The positives of a user stay together, so that an item is gathered once for all histories that it is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.models.history_network import HistoryNetwork
from ncf.training.schedule import first_row
from ncf.training.seeds import derived_seed


@dataclass(frozen=True)
class HistoryBatch:
    """The positives of a step, and the histories of their users.

    Attributes:
        items: int64 [n], items of the users, one user after the other. With times, these are the positives and those
            just before them, oldest first; without times, all positives of these users.
        offsets: int64 [users + 1], first of each user in ``items``.
        rows: int64 [B], which of ``items`` are the step's positives.
        owners: int64 [B], number of each positive's user.
    """

    items: Tensor
    offsets: Tensor
    rows: Tensor
    owners: Tensor

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
        history: number of latest items in a history; 0: all items.
        seed: one for each fit and process.
        device: of the batches.
    """

    def __init__(self, positives: ItemsByUser, history: int, seed: list[int], device: torch.device) -> None:
        self._history, self._seed, self._device = history, seed, device
        self._offsets = np.asarray(positives.offsets)
        self._items = torch.from_numpy(np.asarray(positives.items).astype(np.int64)).to(device)

    def epoch(self, number: int, steps: int) -> HistoryEpoch:
        """Epoch ``number``, from 1, in ``steps`` steps."""
        order = np.random.default_rng(derived_seed(*self._seed, number)).permutation(len(self._offsets) - 1)
        return HistoryEpoch(self._items, self._offsets, order, steps, self._history, self._device)


@dataclass(frozen=True)
class HistoryEpoch:
    """One epoch in one process: steps of equal numbers of positives, in the order of shuffled users.

    Attributes:
        items: int64 [positives], by user, oldest first.
        offsets: int64 [users + 1].
        order: int64 [users], a permutation.
        steps: steps in the epoch, the same in every process.
        history: number of latest items in a history; 0: all items.
        device: of the batches.
    """

    items: Tensor
    offsets: np.ndarray[tuple[int], np.dtype[np.int64]]
    order: np.ndarray[tuple[int], np.dtype[np.int64]]
    steps: int
    history: int
    device: torch.device

    def batches(self, first_step: int) -> Iterator[HistoryBatch]:
        """The positives of each step from ``first_step`` on."""
        ends = np.cumsum(np.diff(self.offsets)[self.order])  # positives of the shuffled users, up to each
        total = len(self.items)
        for step in range(first_step, self.steps):
            yield self._batch(ends, first_row(step, total, self.steps), first_row(step + 1, total, self.steps))

    def _batch(self, ends: np.ndarray[tuple[int], np.dtype[np.int64]], start: int, stop: int) -> HistoryBatch:
        """The positives ``start`` to ``stop`` of the shuffled epoch; the first and last user may have others."""
        if start == stop:
            nothing = torch.empty(0, dtype=torch.int64, device=self.device)
            return HistoryBatch(nothing, torch.zeros(1, dtype=torch.int64, device=self.device), nothing, nothing)
        first, last = np.searchsorted(ends, [start, stop - 1], side="right").tolist()
        users = self.order[first : last + 1]
        users = users[self.offsets[users + 1] > self.offsets[users]]
        begin, end = self.offsets[users].copy(), self.offsets[users + 1].copy()
        own_begin, own_end = begin.copy(), end.copy()
        own_end[-1] -= ends[last] - stop
        own_begin[0] = end[0] - (ends[first] - start)
        if self.history:
            begin[0], end = max(int(begin[0]), int(own_begin[0]) - self.history), own_end
        lengths, own_lengths = end - begin, own_end - own_begin
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        positions = _ranges(begin, lengths)
        rows = _ranges(offsets[:-1] + own_begin - begin, own_lengths)
        owners = np.repeat(np.arange(len(users)), own_lengths)
        items = self.items[torch.from_numpy(positions).to(self.device)]
        parts = (torch.from_numpy(part).to(self.device) for part in (offsets, rows, owners))
        return HistoryBatch(items, *parts)


def _ranges(
    begin: np.ndarray[tuple[int], np.dtype[np.int64]], lengths: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Numbers from each ``begin`` on, as many as ``lengths`` says, one range after the other; int64."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(begin - before, lengths) + np.arange(int(lengths.sum()))
