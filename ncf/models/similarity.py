"""Items by what they have in common, and people whom the model does not know by their items: with numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, Weights
from ncf.models.scorer import Indices, Scorer

_RIDGE = 0.01
"""Of the mean squared feature; a tenth and ten times of it gave the same within noise on MovieLens latest-small."""
_SHRINKAGE = 2
"""Items of embedding 0 that a history has beside its own."""
_PARTS = (2, 5, 20)
"""Sizes of the histories that a training user teaches with, beside the whole."""
_USERS_AT_MOST = 10_000
"""The regression is made of so many users: it has some hundred coefficients for each of some hundred outputs."""
_TINY = float(np.finfo(np.float32).tiny)
_ITEM_TABLES = ("item_gmf.weight", "item_mlp.weight")
_USER_TABLES = ("user_gmf.weight", "user_mlp.weight")


class Similarity:
    """Cosine of items in the space in which the model multiplies them with users.

    An item is what its network takes of it: for GMF the embedding times the output weights, so that the inner
    product with a user's is its part of the logit (He et al. 2017, equation 9 with h); for the MLP its summand
    before the first layer's ReLU, ``Wi item``, without the bias that all items share; for NeuMF both, each part
    scaled to the mean norm 1, so that neither drowns the other. Embedding dimensions that the network does not use
    so do not count, as they would in the raw embeddings.
    """

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        parts = []
        if config.has_gmf:
            parts.append(weights["item_gmf.weight"] * weights["output.weight"][0, : config.factors])
        if config.has_tower:
            parts.append(weights["item_mlp.weight"] @ weights["tower.0.weight"][:, config.tower[0] // 2 :].T)
        scaled = [part / max(float(np.linalg.norm(part, axis=1).mean()), _TINY) for part in parts]
        vectors = np.concatenate(scaled, axis=1)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(norms, _TINY)
        self._vectors = vectors

    def cosines(self, item: int) -> NDArray[np.float32]:
        """Cosine of one item with every item, float32 [n_items]."""
        cosines: NDArray[np.float32] = self._vectors @ self._vectors[item]
        return cosines


class Strangers:
    """Embeddings of users whom the model does not know, from the items that they have liked.

    A ridge regression, fitted to the users of the training data: from the mean of a user's item embeddings, shrunk
    towards 0 where these are few, to the user's own embeddings. Each user teaches with all of its items and with
    some of them, since strangers come with few. It is a closed form, deterministic, takes microseconds for a user,
    and ranks items of held-out users better than embeddings that descend the training loss for the same items, and
    no worse than the embeddings of users who were trained (BENCHMARKS.md).

    Args:
        scorer: of the model.
        weights: of the model.
        train: the positives that the model was fitted on.
    """

    def __init__(self, scorer: Scorer, weights: Weights, train: ItemsByUser) -> None:
        self._scorer = scorer
        self._items = [weights[name] for name in _ITEM_TABLES if name in weights]
        tables = [weights[name] for name in _USER_TABLES if name in weights]
        self._widths = [table.shape[1] for table in tables]
        # the bound of the model's own users, which model_folder proves to give finite scores
        self._largest = np.concatenate([np.full(t.shape[1], np.abs(t).max(), np.float64) for t in tables])
        active = np.flatnonzero(train.counts())
        active = active[:: max(1, -(-len(active) // _USERS_AT_MOST))]
        rng = np.random.default_rng(0)
        features, targets = [], []
        for user in active.tolist():
            items = train.of_user(user)
            embeddings = np.concatenate([table[user] for table in tables])
            for size in (len(items), *(size for size in _PARTS if size < len(items))):
                part = items if size == len(items) else items[rng.permutation(len(items))[:size]]
                features.append(self._features(part))
                targets.append(embeddings)
        width = sum(self._widths)
        matrix = np.array(features).reshape(-1, width + 1)
        gram = matrix.T @ matrix
        gram[np.diag_indices(len(gram))] += _RIDGE * max(np.trace(gram) / len(gram), _TINY)
        self._map = np.linalg.solve(gram, matrix.T @ np.array(targets).reshape(-1, width))  # [width + 1, width]

    def with_history(self, items: Indices) -> Scorer:
        """A scorer whose one user, 0, has this history, int [h], h > 0."""
        embeddings = np.clip(self._features(items) @ self._map, -self._largest, self._largest).astype(np.float32)
        tables = np.split(embeddings[None], np.cumsum(self._widths)[:-1], axis=1)
        config = self._scorer.config
        return self._scorer.with_users(tables[0] if config.has_gmf else None, tables[-1] if config.has_tower else None)

    def score_all(self, items: Indices) -> NDArray[np.float32]:
        """Logits of the whole catalogue, float32 [n_items], for a user with this history, int [h], h > 0."""
        scores: NDArray[np.float32] = self.with_history(items).score_all(np.zeros(1, np.int64))[0]
        return scores

    def _features(self, items: Indices) -> NDArray[np.float64]:
        sums = [table[items].sum(axis=0, dtype=np.float64) for table in self._items]
        return np.concatenate([*(part / (len(items) + _SHRINKAGE) for part in sums), [1.0]])
