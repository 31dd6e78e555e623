"""What ranks items for users: a model's scorer, or a baseline that knows the same training interactions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser

Indices = NDArray[np.integer[Any]]
Scores = NDArray[np.floating[Any]]


class Ranker(Protocol):
    """Scores items; the higher, the better. :class:`ncf.models.scorer.Scorer` is one."""

    def score_pairs(self, users: Indices, items: Indices) -> Scores:
        """Scores of each user, int [B], with items of its own, int [B, C]: float [B, C]."""
        ...

    def score_all(self, users: Indices) -> Scores:
        """Scores of each user, int [B], with the whole catalogue: float [B, n_items]."""
        ...


@dataclass(frozen=True)
class Popularity:
    """The same for everybody: training interactions of each item, int64 [n_items]."""

    counts: NDArray[np.int64]

    def score_pairs(self, users: Indices, items: Indices) -> Scores:  # noqa: ARG002 (the same for everybody)
        return self.counts[items].astype(np.float64)

    def score_all(self, users: Indices) -> Scores:
        return np.broadcast_to(self.counts.astype(np.float64), (len(users), len(self.counts))).copy()


@dataclass(frozen=True)
class ItemToItem:
    """Sums of the weights between the items that a user has and the one that is scored.

    Attributes:
        weights: float32 [n_items, n_items], from an item that a user has (row) to an item that is scored (column).
        train: what each user has.
    """

    weights: NDArray[np.float32]
    train: ItemsByUser

    def score_pairs(self, users: Indices, items: Indices) -> Scores:
        scores = np.empty(items.shape, np.float32)
        for row, user in enumerate(users.tolist()):
            scores[row] = self.weights[self.train.of_user(user)[:, None], items[row]].sum(axis=0)
        return scores

    def score_all(self, users: Indices) -> Scores:
        scores = np.empty((len(users), len(self.weights)), np.float32)
        for row, user in enumerate(users.tolist()):
            scores[row] = self.weights[self.train.of_user(user)].sum(axis=0)
        return scores


@dataclass(frozen=True)
class Neighbours:
    """Sums of the weights of those of an item's neighbours that the user has.

    Attributes:
        nearest: the neighbours of each item (in place of a user), the nearest first.
        weights: float32 [neighbours of all], of each of them.
        train: what each user has.
    """

    nearest: ItemsByUser
    weights: NDArray[np.float32]
    train: ItemsByUser

    @cached_property
    def _table(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The same as a table, [n_items, most neighbours] each; an item's missing neighbours are itself, weight 0."""
        counts = self.nearest.counts()
        n_items, width = len(counts), int(counts.max(initial=1))
        filled = np.arange(width) < counts[:, None]
        items = np.repeat(np.arange(n_items, dtype=np.int32), width).reshape(n_items, width)
        weights = np.zeros((n_items, width), np.float32)
        items[filled], weights[filled] = self.nearest.items, self.weights
        return items, weights

    @cached_property
    def _of_neighbour(self) -> tuple[ItemsByUser, NDArray[np.float32]]:
        """From each neighbour to the items that it is one of, and its weight for each."""
        n_items = self.nearest.n_users
        order = np.argsort(self.nearest.items, kind="stable")
        grouped = ItemsByUser.of_sorted(self.nearest.items[order], self.nearest.users()[order], n_items)
        return grouped, self.weights[order]

    def score_pairs(self, users: Indices, items: Indices) -> Scores:
        neighbours, weights = self._table
        scores = np.empty(items.shape, np.float32)
        has = np.zeros(len(neighbours), np.float32)
        for row, user in enumerate(users.tolist()):
            own = self.train.of_user(user)
            has[own] = 1
            scores[row] = np.einsum("ij,ij->i", weights[items[row]], has[neighbours[items[row]]])
            has[own] = 0
        return scores

    def score_all(self, users: Indices) -> Scores:
        items_of, weights = self._of_neighbour
        scores = np.empty((len(users), items_of.n_users), np.float32)
        for row, user in enumerate(users.tolist()):
            own = self.train.of_user(user)
            starts, ends = items_of.offsets[own], items_of.offsets[own + 1]
            shift = starts - np.concatenate([[0], np.cumsum(ends - starts)[:-1]])
            places = np.arange((ends - starts).sum()) + np.repeat(shift, ends - starts)
            scores[row] = np.bincount(items_of.items[places], weights[places], items_of.n_users)
        return scores
