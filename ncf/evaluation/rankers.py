"""Scorers of items for users: the protocol, and the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser

Indices = NDArray[np.integer[Any]]
Scores = NDArray[np.floating[Any]]


class ItemScorer(Protocol):
    """Scorer of items: a model (:class:`ncf.models.scorer.Scorer`), a champion or a baseline. Higher is better."""

    def score_pairs(self, users: Indices, items: Indices) -> Scores:
        """Scores of each user, int [B], with a row of items, int [B, C]: float [B, C]."""
        ...

    def score_all(self, users: Indices) -> Scores:
        """Scores of each user, int [B], with all items: float [B, n_items]."""
        ...


@dataclass(frozen=True)
class Popularity:
    """Popularity baseline: training interactions of each item, the same for all users.

    Attributes:
        counts: int64 [n_items].
    """

    counts: NDArray[np.int64]

    def score_pairs(self, users: Indices, items: Indices) -> Scores:  # noqa: ARG002 (the same for all users)
        return self.counts[items].astype(np.float64)

    def score_all(self, users: Indices) -> Scores:
        return np.broadcast_to(self.counts.astype(np.float64), (len(users), len(self.counts))).copy()


@dataclass(frozen=True)
class ItemToItem:
    """Dense item-to-item model: the score of an item is the sum of its weights from the items of the user.

    Attributes:
        weights: float32 [n_items, n_items], from an item of the user (row) to the scored item (column).
        train: items of each user.
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
    """Sparse item-to-item model: the score of an item is the sum of the weights of its neighbours that the user has.

    Attributes:
        nearest: neighbours of each item, the nearest first. Rows are items, not users.
        weights: float32 [neighbours of all items].
        train: items of each user.
    """

    nearest: ItemsByUser
    weights: NDArray[np.float32]
    train: ItemsByUser

    def nearest_only(self, neighbours: int) -> Neighbours:
        """The same with at most ``neighbours`` neighbours of each item."""
        counts = self.nearest.counts()
        rank = np.arange(len(self.weights)) - np.repeat(self.nearest.offsets[:-1], counts)
        kept = rank < neighbours
        offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, neighbours))])
        return Neighbours(ItemsByUser(offsets, self.nearest.items[kept]), self.weights[kept], self.train)

    def for_users(self, train: ItemsByUser) -> Neighbours:
        """The same for the users of ``train``."""
        return Neighbours(self.nearest, self.weights, train)

    @cached_property
    def _table(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Neighbours and weights, [n_items, most neighbours] each, filled with the item itself and weight 0."""
        counts = self.nearest.counts()
        n_items, width = len(counts), int(counts.max(initial=1))
        filled = np.arange(width) < counts[:, None]
        items = np.repeat(np.arange(n_items, dtype=np.int32), width).reshape(n_items, width)
        weights = np.zeros((n_items, width), np.float32)
        items[filled], weights[filled] = self.nearest.items, self.weights
        return items, weights

    @cached_property
    def _of_neighbour(self) -> tuple[ItemsByUser, NDArray[np.float32]]:
        """Items that each item is a neighbour of, and the weights."""
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
            entries = np.arange((ends - starts).sum()) + np.repeat(shift, ends - starts)
            scores[row] = np.bincount(items_of.items[entries], weights[entries], items_of.n_users)
        return scores
