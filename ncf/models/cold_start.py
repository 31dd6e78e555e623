"""Cold start: embeddings of unknown users from their history."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import Weights
from ncf.models.ranker import Ranker
from ncf.models.scorer import Indices

_RIDGE = 0.01
"""Regularisation by the mean squared feature. 0.001 and 0.1 gave the same within noise on MovieLens latest-small."""
_SHRINKAGE = 2
"""Items with embedding 0 that are added to each history."""
_PARTIAL_HISTORIES = (2, 5, 20)
"""Lengths of the partial histories of a training user that are fitted beside the whole history."""
_MAX_USERS = 10_000
"""Largest number of training users in the regression, which has some hundred coefficients for each of some hundred
outputs."""
_TINY = float(np.finfo(np.float32).tiny)
_ITEM_TABLES = ("item_gmf.weight", "item_mlp.weight")
_USER_TABLES = ("user_gmf.weight", "user_mlp.weight")


class ColdStart:
    """Embeddings of unknown users, from the items that they have liked.

    A ridge regression predicts the embeddings of a user from the mean embedding of the user's items. The mean of a
    short history is shrunk towards 0. The regression is fitted to the training users, each with the whole history and
    with parts of it, since unknown users come with few items. It is deterministic and takes microseconds for a user.
    It ranks the items of held-out users better than embeddings fitted to the training loss by gradient descent, and no
    worse than the embeddings of trained users (BENCHMARKS.md).

    Args:
        ranker: of the model.
        weights: of the model.
        train: positives that the model was fitted on.
    """

    def __init__(self, ranker: Ranker, weights: Weights, train: ItemsByUser) -> None:
        self._ranker = ranker
        self._items = [weights[name] for name in _ITEM_TABLES if name in weights]
        tables = [weights[name] for name in _USER_TABLES if name in weights]
        self._widths = [table.shape[1] for table in tables]
        # bound of the model's own users, for which model_folder has checked that scores are finite
        self._largest = np.concatenate([np.full(t.shape[1], np.abs(t).max(), np.float64) for t in tables])
        active = np.flatnonzero(train.counts())
        active = active[:: max(1, -(-len(active) // _MAX_USERS))]
        rng = np.random.default_rng(0)
        features, targets = [], []
        for user in active.tolist():
            items = train.of_user(user)
            embeddings = np.concatenate([table[user] for table in tables])
            for size in (len(items), *(size for size in _PARTIAL_HISTORIES if size < len(items))):
                part = items if size == len(items) else items[rng.permutation(len(items))[:size]]
                features.append(self._features(part))
                targets.append(embeddings)
        width = sum(self._widths)
        matrix = np.array(features).reshape(-1, width + 1)
        gram = matrix.T @ matrix
        gram[np.diag_indices(len(gram))] += _RIDGE * max(np.trace(gram) / len(gram), _TINY)
        self._map = np.linalg.solve(gram, matrix.T @ np.array(targets).reshape(-1, width))  # [width + 1, width]

    def with_history(self, items: Indices) -> Ranker:
        """A ranker whose only user, 0, has this history, int [h], h > 0."""
        embeddings = np.clip(self._features(items) @ self._map, -self._largest, self._largest).astype(np.float32)
        tables = np.split(embeddings[None], np.cumsum(self._widths)[:-1], axis=1)
        config = self._ranker.scorer.config
        return self._ranker.with_users(tables[0] if config.has_gmf else None, tables[-1] if config.has_tower else None)

    def _features(self, items: Indices) -> NDArray[np.float64]:
        """Shrunk mean embeddings of a history and a constant, float64 [width + 1]."""
        sums = [table[items].sum(axis=0, dtype=np.float64) for table in self._items]
        return np.concatenate([*(part / (len(items) + _SHRINKAGE) for part in sums), [1.0]])
