"""What ranks items for users: a model's scorer, or a baseline that knows the same training interactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ncf.data.items_by_user import ItemsByUser

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
