"""Scores without torch: the very code that evaluates a model and that serves it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, Weights
from ncf.models.limits import CANDIDATES, CANDIDATES_A_PLACE, EXACT_UP_TO
from ncf.models.retriever import Retriever

Indices = NDArray[np.integer[Any]]
Candidates = slice | Indices
"""Item indices, or a slice of the catalogue, which is scored without copying it."""

NO_ITEM = -1
_ROWS_AT_ONCE = 1024  # pairs that pass the tower together: their activations stay in a core's cache


class Scorer:
    """The forward pass of GMF, MLP or NeuMF in numpy (He et al. 2017, section 3).

    The tower's first layer is factored: ``W [user; item] + b = Wu user + (Wi item + b)``. The part of every
    item is computed once, here, and that of a user once for all items that it is scored with. This is exact.

    Args:
        config: the architecture.
        weights: float32 arrays as :meth:`ModelConfig.weight_shapes` says; tables of users are not copied.
        candidates: of a catalogue of more than ``EXACT_UP_TO`` items, those at least that :meth:`top_k` scores
            exactly for a user; the more, the surer that none of the best is missed.
    """

    def __init__(self, config: ModelConfig, weights: Weights, candidates: int = CANDIDATES) -> None:
        self.config = config
        self._candidates = candidates
        self._retriever: Retriever | None = None
        self._lock = threading.Lock()
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
            self._user_first = np.ascontiguousarray(first[:, :half].T)  # [tower[0] / 2, tower[1]]
            self._item_side = weights["item_mlp.weight"] @ first[:, half:].T  # [n_items, tower[1]]
            self._item_side += weights["tower.0.bias"]
            self._layers = [
                (np.ascontiguousarray(weights[f"tower.{layer}.weight"].T), weights[f"tower.{layer}.bias"])
                for layer in range(1, config.n_layers)
            ]
            self._output = np.ascontiguousarray(output[split:])  # [tower[-1]]

    def score_pairs(self, users: Indices, items: Indices) -> NDArray[np.float32]:
        """Logits of each user with items of its own.

        Args:
            users: int [B].
            items: int [B, C].

        Returns:
            float32 [B, C].
        """
        return _in_blocks(self._score, users, items)

    def score_all(self, users: Indices) -> NDArray[np.float32]:
        """Logits of each user with the whole catalogue: int [B] -> float32 [B, n_items]."""
        return self.rescore(users, slice(0, self.config.n_items))

    def rescore(self, users: Indices, candidates: Candidates) -> NDArray[np.float32]:
        """Logits of each user with the same candidates: int [B], C candidates -> float32 [B, C]."""
        return _with_all(self._score, users, self._known(candidates))

    def tower(self, users: Indices, candidates: Candidates) -> NDArray[np.float32]:
        """The tower's part of the logits: int [B], C candidates -> float32 [B, C]."""
        return _with_all(self._tower, users, self._known(candidates))

    def gmf_users(self, users: Indices) -> NDArray[np.float32]:
        """The users' side of GMF's part, float32 [B, factors]; no columns without GMF."""
        return self._user_gmf[users] if self.config.has_gmf else np.empty((len(users), 0), np.float32)

    def gmf_items(self) -> NDArray[np.float32]:
        """The items' side of GMF's part, float32 [n_items, factors], whose inner product with a user's is that part."""
        return self._item_gmf if self.config.has_gmf else np.empty((self.config.n_items, 0), np.float32)

    def scores_all(self, k: int) -> bool:
        """Whether the best ``k`` items are chosen from the scores of the whole catalogue."""
        n_items = self.config.n_items
        return n_items <= EXACT_UP_TO or n_items <= max(self._candidates, CANDIDATES_A_PLACE * k)

    def retrieve(self, users: Indices, k: int, exclude: ItemsByUser | None = None) -> Iterator[Candidates]:
        """For each user the items worth scoring, ascending: all where scoring them is quick enough.

        Args:
            users: int [B].
            k: items that are wanted in the end.
            exclude: items of each user never to be recommended; retrieved are others, unless all are.
        """
        if self.scores_all(k):
            return iter([slice(0, self.config.n_items)] * len(users))
        return self._prepared_retriever().retrieve(users, k, exclude)

    def _prepared_retriever(self) -> Retriever:
        with self._lock:  # threads ask the same scorer; the first of them prepares it
            if self._retriever is None:
                self._retriever = Retriever(self, self._candidates)
                if self.config.has_gmf:  # the same values; the first copy of them can go
                    self._item_gmf = self._retriever.items[:, : self.config.factors]
            return self._retriever

    def top_k(
        self, users: Indices, k: int, exclude: ItemsByUser | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The best items of each user, best first; of equal scores the lower index comes first.

        Args:
            users: int [B].
            k: items wanted.
            exclude: items of each user never to be returned, such as those it has seen.

        Returns:
            Items, int32 [B, min(k, n_items)], and their logits, float32 of that shape. Where fewer items are
            left the rest of a row is ``NO_ITEM`` and -inf.
        """
        width = min(k, self.config.n_items)
        items = np.full((len(users), width), NO_ITEM, np.int32)
        scores = np.full((len(users), width), -np.inf, np.float32)
        for row, (best, found) in enumerate(self.top_k_of_each(users, k, exclude)):
            items[row, : len(best)], scores[row, : len(best)] = best, found
        return items, scores

    def top_k_of_each(
        self, users: Indices, k: int, exclude: ItemsByUser | None = None
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """As :meth:`top_k`, each user when it is asked for, and only the items that are left."""
        width = min(k, self.config.n_items)
        for row, candidates in enumerate(self.retrieve(users, k, exclude)):
            found = self.rescore(users[row : row + 1], candidates)[0]  # [C]
            if exclude is not None and isinstance(candidates, slice):
                found[exclude.of_user(int(users[row]))] = -np.inf
            best = best_places(found, width)
            best = best[found[best] > -np.inf]
            items = best if isinstance(candidates, slice) else candidates[best]
            yield items.astype(np.int32), found[best]

    def with_users(self, gmf: NDArray[np.float32] | None, mlp: NDArray[np.float32] | None) -> Scorer:
        """The same items with other users, whose embeddings are given; all that was computed of the items is shared."""
        retriever = None if self.scores_all(1) else self._prepared_retriever()
        other = copy.copy(self)
        if gmf is not None:
            other._user_gmf = gmf
        if mlp is not None:
            other._user_mlp = mlp
        other._retriever = retriever and retriever.with_users_of(other)
        return other

    def _known(self, candidates: Candidates) -> Candidates:
        """Candidates with a slice's bounds in the catalogue."""
        return slice(*candidates.indices(self.config.n_items)) if isinstance(candidates, slice) else candidates

    def _score(self, users: Indices, items: Candidates) -> NDArray[np.float32]:
        """Logits of one block: users [b] with the same items [c] or items of their own [b, c]."""
        scores: NDArray[np.float32] | None = None
        if self.config.has_gmf:
            left, right = self._user_gmf[users], self._item_gmf[items]  # [b, factors], [(b,) c, factors]
            scores = left @ right.T if right.ndim == 2 else (right @ left[:, :, None])[..., 0]
        if self.config.has_tower:
            tower = self._tower(users, items)
            scores = tower if scores is None else scores + tower
        assert scores is not None
        scores += self._bias
        return scores

    def _tower(self, users: Indices, items: Candidates) -> NDArray[np.float32]:
        """The tower's part of :meth:`_score`."""
        user_side = self._user_mlp[users] @ self._user_first  # [b, tower[1]]
        hidden = self._item_side[items] + user_side[:, None]  # [b, c, tower[1]]
        shape = hidden.shape[:2]
        hidden = np.maximum(hidden, 0, out=hidden).reshape(-1, hidden.shape[2])  # [b c, tower[1]]
        for weight, bias in self._layers:
            hidden = hidden @ weight
            hidden += bias
            np.maximum(hidden, 0, out=hidden)
        tower: NDArray[np.float32] = (hidden @ self._output).reshape(shape)  # [b, c]
        return tower


_Part = Callable[[Indices, Candidates], NDArray[np.float32]]


def _in_blocks(part: _Part, users: Indices, items: Indices) -> NDArray[np.float32]:
    """A part of the logits of each user [B] with items of its own [B, C], a block at a time."""
    scores = np.empty(items.shape, np.float32)
    for rows, columns in _blocks(*items.shape):
        scores[rows, columns] = part(users[rows], items[rows, columns])
    return scores


def _with_all(part: _Part, users: Indices, candidates: Candidates) -> NDArray[np.float32]:
    """A part of the logits of each user [B] with the same candidates [C], a block at a time."""
    if not isinstance(candidates, slice):
        return _in_blocks(part, users, np.broadcast_to(candidates, (len(users), len(candidates))))
    scores = np.empty((len(users), candidates.stop - candidates.start), np.float32)
    for rows, columns in _blocks(*scores.shape):
        block = slice(candidates.start + columns.start, min(candidates.start + columns.stop, candidates.stop))
        scores[rows, columns] = part(users[rows], block)
    return scores


def best_places(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Places of the ``k`` highest of ``scores`` [n], best first; of equal ones the lower place comes first.

    Returns:
        int [min(k, n)].
    """
    if k >= len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    at_least = np.flatnonzero(scores >= least)  # the k best, and all that equal the last of them
    return at_least[np.argsort(-scores[at_least], kind="stable")[:k]]


def _blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Cut a [rows, columns] table into blocks of at most ``_ROWS_AT_ONCE`` pairs."""
    if not columns:
        return
    width = min(columns, _ROWS_AT_ONCE)
    height = _ROWS_AT_ONCE // width
    for row in range(0, rows, height):
        for column in range(0, columns, width):
            yield slice(row, row + height), slice(column, column + width)
