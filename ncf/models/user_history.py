"""Users by their latest items: the vectors of ``history`` models in numpy.

The vector of a user is a weighted mean of the embeddings of the user's items, from the table that also embeds the items
that are scored, as in FISM (Kabbur et al., KDD 2013) with the recency of SASRec's input (Kang and McAuley, ICDM 2018).
There is no embedding of a user's id, so a user whom training has not seen has a vector too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import RECENCY_RATE, ModelConfig, Weights

SMALLEST_SUM = np.float32(1e-30)
"""Lower bound of the sum of a history's weights: the vector of an empty history is 0."""


class UserVectors:
    """Vectors of the users of ``histories``, computed when they are asked for.

    A column of ones follows the embedding, so that the inner product with an item vector that ends with the item's bias
    is the logit.

    Args:
        config: of a ``history`` model.
        weights: of the model.
        histories: items of each user, oldest first.

    Attributes:
        scale: what the mean is multiplied by.
        recency: float32 [history], weights of the latest items, the latest first; None where all items count the same.
    """

    def __init__(self, config: ModelConfig, weights: Weights, histories: ItemsByUser) -> None:
        self._table, self._histories = weights["item_gmf.weight"], histories
        self.scale = np.exp(weights["scale"][0])
        self.recency = np.exp(RECENCY_RATE * weights["recency"]) if config.is_sequential else None

    def of(self, histories: ItemsByUser) -> UserVectors:
        """Vectors of other users of the same items."""
        other = UserVectors.__new__(UserVectors)
        other.__dict__.update(self.__dict__, _histories=histories)
        return other

    def __getitem__(self, users: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Vectors of some users: int [B] -> float32 [B, factors + 1]."""
        start, end = self._histories.offsets[users], self._histories.offsets[users + 1]
        vectors = np.ones((len(users), self._table.shape[1] + 1), np.float32)
        vectors[:, :-1] = self._latest(start, end) if self.recency is not None else self._all(start, end)
        return vectors

    def _latest(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.float32]:
        """Means of the latest items, weighted by recency: int64 [B] each -> float32 [B, factors]."""
        assert self.recency is not None
        width = min(len(self.recency), max(1, int((end - start).max(initial=1))))
        positions = end[:, None] - 1 - np.arange(width)
        present = positions >= start[:, None]
        items = self._histories.items[np.where(present, positions, 0)] if len(self._histories.items) else 0 * positions
        weights = np.where(present, self.recency[:width], np.float32(0))
        weights *= self.scale / np.maximum(weights.sum(1, keepdims=True), SMALLEST_SUM)
        sums: NDArray[np.float32] = (weights[:, None] @ self._table[items])[:, 0]
        return sums

    def _all(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.float32]:
        """Means of all items: int64 [B] each -> float32 [B, factors]."""
        means = np.zeros((len(start), self._table.shape[1]), np.float32)
        for row, (first, last) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
            if last > first:
                means[row] = self._table[self._histories.items[first:last]].mean(0)
        means *= self.scale
        return means
