"""Forward pass of all models in numpy. Evaluation, batch and serving score with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, Weights
from ncf.models.user_history import UserVectors

Indices = NDArray[np.integer[Any]]
Candidates = slice | Indices
"""Item indices, or a slice of the catalogue. A slice is scored without a copy of the item embeddings."""

_PAIRS_PER_BLOCK = 1024  # user-item pairs; their activations fit into the cache of a core


class TowerWeights(NamedTuple):
    """Weights of the tower, the first layer factored.

    Attributes:
        user_first: float32 [tower[0] / 2, tower[1]], the layer's weight for users' embeddings.
        item_side: float32 [n_items, tower[1]], the layer's output for each item, with the bias.
        layers: weight, float32 [inputs, outputs], and bias, float32 [outputs], of each later layer.
        output: float32 [tower[-1]], weights of the logit.
    """

    user_first: NDArray[np.float32]
    item_side: NDArray[np.float32]
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
    output: NDArray[np.float32]


class Scorer:
    """The forward pass of GMF, MLP, NeuMF (He et al. 2017, section 3) or ``history`` in numpy.

    The first layer of the tower is factored: ``W [user; item] + b = Wu user + (Wi item + b)``. The item part is
    computed once for all users, the user part once for all items of a call. The result is the same.

    Args:
        config: architecture and sizes.
        weights: float32 arrays of :meth:`ModelConfig.weight_shapes`; the user embeddings are not copied.
        histories: items of each user, oldest first, for a ``history`` model; other models need none.

    Attributes:
        tower_weights: of the tower of MLP and NeuMF.
    """

    tower_weights: TowerWeights

    def __init__(self, config: ModelConfig, weights: Weights, histories: ItemsByUser | None = None) -> None:
        self.config = config
        self._user_gmf: UserVectors | NDArray[np.float32]
        if config.has_history:
            assert histories is not None
            self._bias = np.zeros(1, np.float32)
            self._user_gmf = UserVectors(config, weights, histories)
            self._item_gmf = np.concatenate([weights["item_gmf.weight"], weights["item_bias.weight"]], 1)
            return
        output = weights["output.weight"][0]
        self._bias = weights["output.bias"]
        split = config.factors if config.has_gmf else 0
        if config.has_gmf:
            self._user_gmf = weights["user_gmf.weight"]
            self._item_gmf = weights["item_gmf.weight"] * output[:split]  # [n_items, factors]
        if config.has_tower:
            half = config.tower[0] // 2
            first = weights["tower.0.weight"]
            self._user_mlp = weights["user_mlp.weight"]
            item_side = weights["item_mlp.weight"] @ first[:, half:].T
            item_side += weights["tower.0.bias"]
            layers = [
                (np.ascontiguousarray(weights[f"tower.{layer}.weight"].T), weights[f"tower.{layer}.bias"])
                for layer in range(1, config.n_layers)
            ]
            user_first, output = np.ascontiguousarray(first[:, :half].T), np.ascontiguousarray(output[split:])
            self.tower_weights = TowerWeights(user_first, item_side, layers, output)

    def score_pairs(self, users: Indices, items: Indices) -> NDArray[np.float32]:
        """Logits of each user with a row of items.

        Args:
            users: int [B].
            items: int [B, C].

        Returns:
            float32 [B, C].
        """
        return _for_rows(self._score, users, items)

    def score_all(self, users: Indices) -> NDArray[np.float32]:
        """Logits of each user with all items: int [B] -> float32 [B, n_items]."""
        return self.rescore(users, slice(0, self.config.n_items))

    def rescore(self, users: Indices, candidates: Candidates) -> NDArray[np.float32]:
        """Logits of each user with the same candidates: int [B], C candidates -> float32 [B, C]."""
        if not self.config.has_tower:
            scores: NDArray[np.float32] = self._user_gmf[users] @ self._item_gmf[candidates].T
            scores += self._bias
            return scores
        return _for_shared(self._score, users, self._bounded(candidates))

    def tower(self, users: Indices, candidates: Candidates) -> NDArray[np.float32]:
        """Tower part of the logits: int [B], C candidates -> float32 [B, C]."""
        return _for_shared(self._tower, users, self._bounded(candidates))

    def gmf_users(self, users: Indices) -> NDArray[np.float32]:
        """Vectors of users in the inner product, float32 [B, product_width]; [B, 0] for an MLP."""
        return self._user_gmf[users] if self.config.has_product else np.empty((len(users), 0), np.float32)

    def gmf_items(self) -> NDArray[np.float32]:
        """Vectors of all items, float32 [n_items, product_width]; [n_items, 0] for an MLP.

        The inner product with a user's vector is the GMF part of the logit, output weights included; for a ``history``
        model it is the logit.
        """
        return self._item_gmf if self.config.has_product else np.empty((self.config.n_items, 0), np.float32)

    def with_gmf_items(self, items: NDArray[np.float32]) -> Scorer:
        """A scorer that reads the GMF item vectors from ``items``, equal to :meth:`gmf_items`, and keeps no copy."""
        other = copy.copy(self)
        other._item_gmf = items
        return other

    def with_histories(self, histories: ItemsByUser) -> Scorer:
        """A scorer of the same items whose users, from 0, have these histories, oldest first (``history`` models)."""
        other = copy.copy(self)
        assert isinstance(self._user_gmf, UserVectors)
        other._user_gmf = self._user_gmf.of(histories)
        return other

    def with_users(self, gmf: NDArray[np.float32] | None, mlp: NDArray[np.float32] | None) -> Scorer:
        """A scorer of the same items with other user embeddings; the arrays of the items are shared."""
        other = copy.copy(self)
        if gmf is not None:
            other._user_gmf = gmf
        if mlp is not None:
            other._user_mlp = mlp
        return other

    def _bounded(self, candidates: Candidates) -> Candidates:
        """Candidates, a slice cut to the bounds of the catalogue."""
        return slice(*candidates.indices(self.config.n_items)) if isinstance(candidates, slice) else candidates

    def _score(self, users: Indices, items: Candidates) -> NDArray[np.float32]:
        """Logits of a block: users [b] with shared items [c], or with a row of items each [b, c]."""
        scores: NDArray[np.float32] | None = None
        if self.config.has_product:
            left, right = self._user_gmf[users], self._item_gmf[items]  # [b, factors], [(b,) c, factors]
            scores = left @ right.T if right.ndim == 2 else (right @ left[:, :, None])[..., 0]
        if self.config.has_tower:
            tower = self._tower(users, items)
            scores = tower if scores is None else scores + tower
        assert scores is not None
        scores += self._bias
        return scores

    def _tower(self, users: Indices, items: Candidates) -> NDArray[np.float32]:
        """Tower part of :meth:`_score`."""
        tower = self.tower_weights
        user_side = self._user_mlp[users] @ tower.user_first  # [b, tower[1]]
        hidden = tower.item_side[items] + user_side[:, None]  # [b, c, tower[1]]
        shape = hidden.shape[:2]
        hidden = np.maximum(hidden, 0, out=hidden).reshape(-1, hidden.shape[2])  # [b c, tower[1]]
        for weight, bias in tower.layers:
            hidden = hidden @ weight
            hidden += bias
            np.maximum(hidden, 0, out=hidden)
        scores: NDArray[np.float32] = (hidden @ tower.output).reshape(shape)  # [b, c]
        return scores


_Part = Callable[[Indices, Candidates], NDArray[np.float32]]


def _for_rows(part: _Part, users: Indices, items: Indices) -> NDArray[np.float32]:
    """Logits, or a part of them, of users [B] with a row of items each [B, C], computed in blocks."""
    scores = np.empty(items.shape, np.float32)
    for rows, columns in _blocks(*items.shape):
        scores[rows, columns] = part(users[rows], items[rows, columns])
    return scores


def _for_shared(part: _Part, users: Indices, candidates: Candidates) -> NDArray[np.float32]:
    """Logits, or a part of them, of users [B] with shared candidates [C], computed in blocks."""
    if not isinstance(candidates, slice):
        return _for_rows(part, users, np.broadcast_to(candidates, (len(users), len(candidates))))
    scores = np.empty((len(users), candidates.stop - candidates.start), np.float32)
    for rows, columns in _blocks(*scores.shape):
        block = slice(candidates.start + columns.start, min(candidates.start + columns.stop, candidates.stop))
        scores[rows, columns] = part(users[rows], block)
    return scores


def _blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of a [rows, columns] table with at most ``_PAIRS_PER_BLOCK`` cells each."""
    if not columns:
        return
    width = min(columns, _PAIRS_PER_BLOCK)
    height = _PAIRS_PER_BLOCK // width
    for row in range(0, rows, height):
        for column in range(0, columns, width):
            yield slice(row, row + height), slice(column, column + width)
