"""Candidate retrieval: the few items of a large catalogue that are worth scoring exactly for a user.

The tower of MLP and NeuMF is not an inner product of a user vector and an item vector, but close to one: its scores
of all items for one user are close to a linear combination of its scores for a few users, the *landmarks*. An item
vector has the GMF vector, which is exact, and the tower scores of the item for the landmarks. A user vector has the
GMF vector and the coefficients of the linear combination, fitted to the tower scores of a sample of items. This is a
CUR decomposition of the tower scores, as in ANNCUR for cross-encoders (Yadav et al., EMNLP 2022,
https://arxiv.org/abs/2210.12579). One matrix product ranks all items by these vectors.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.models.limits import CANDIDATES, CANDIDATES_PER_ITEM
from ncf.models.scorer import Indices, Scorer

_LANDMARKS_NEUMF, _LANDMARKS_MLP = 16, 64
_POOL = 256  # users to choose landmarks from
_SAMPLE = 512  # items to fit the coefficients of a user to
_PROBES = 8  # users to test retrieval on
_SHORT_LIST, _SHORT_LIST_MARGIN = 10, 4
_LONG_LIST, _LONG_LIST_MARGIN = 100, 2
_SCORES_PER_BLOCK = 1 << 22  # 16 MB
_ITEMS_PER_BLOCK = 1 << 16
_SEED = 0


class Retriever:
    """Retrieval by inner product. It is exact for GMF.

    The number of candidates is tested on a few users outside the pool of landmarks: all items are scored exactly for
    them, and the number is raised if their top 10 or top 100 are not among the candidates.

    Args:
        scorer: forward pass of the model.
        candidates: lowest number of items to retrieve for a user.

    Attributes:
        candidates: lowest number of items that are retrieved for a user.
        candidates_per_item: lowest number of candidates per requested item.
        items: float32 [n_items, width], item vectors; the GMF vectors are the first columns.
    """

    def __init__(self, scorer: Scorer, candidates: int = CANDIDATES) -> None:
        self._scorer = scorer
        rng = np.random.default_rng(_SEED)
        n_users, n_items = scorer.config.n_users, scorer.config.n_items
        self.items = scorer.gmf_items()  # [n_items, factors]; no columns without GMF
        self._sample = np.sort(rng.choice(n_items, min(_SAMPLE, n_items), replace=False))
        users = rng.permutation(n_users)
        count = _landmarks(scorer)
        probes = min(_PROBES, max(0, n_users - count))  # none where all users can be landmarks
        pool = users[: min(_POOL, n_users - probes)]
        if count:
            chosen = _landmark_rows(scorer.tower(pool, self._sample), count)
            self._add_columns(pool[chosen])
        self.candidates, self.candidates_per_item = candidates, float(CANDIDATES_PER_ITEM)
        self._probe(users[len(pool) : len(pool) + probes])

    def _add_columns(self, landmarks: NDArray[np.int64]) -> None:
        """Append the tower scores for the landmarks, and a constant column, to the GMF vectors of the items."""
        gmf, n_items = self.items, len(self.items)
        width = gmf.shape[1]
        self.items = np.empty((n_items, width + len(landmarks) + 1), np.float32)
        self.items[:, -1] = 1
        for start in range(0, n_items, _ITEMS_PER_BLOCK):
            block = slice(start, min(start + _ITEMS_PER_BLOCK, n_items))
            self.items[block, :width] = gmf[block]
            self.items[block, width:-1] = self._scorer.tower(landmarks, block).T
        sampled = self.items[self._sample, width:].astype(np.float64)
        self._fit = np.linalg.pinv(sampled, rcond=1e-6).T.astype(np.float32)  # [sample, landmarks + 1]

    def _probe(self, users: NDArray[np.int64]) -> None:
        """Raise the number of candidates until it covers the top items of these users."""
        for user in users:
            exact = self._scorer.score_all(np.array([user]))[0]
            approximate = self.scores(np.array([user]))[0]
            self.candidates = max(self.candidates, _SHORT_LIST_MARGIN * _depth(exact, approximate, _SHORT_LIST))
            per_item = _LONG_LIST_MARGIN * _depth(exact, approximate, _LONG_LIST) / _LONG_LIST
            self.candidates_per_item = max(self.candidates_per_item, per_item)

    def with_scorer(self, scorer: Scorer) -> Retriever:
        """A retriever with the user embeddings of another scorer of the same items."""
        other = copy.copy(self)
        other._scorer = scorer
        return other

    def scores(self, users: Indices) -> NDArray[np.float32]:
        """Approximate logits, up to a constant of each user: int [B] -> float32 [B, n_items]."""
        parts = [self._scorer.gmf_users(users)]
        if self._scorer.config.has_tower:
            parts.append(self._scorer.tower(users, self._sample) @ self._fit)
        approximate: NDArray[np.float32] = np.concatenate(parts, axis=1) @ self.items.T
        return approximate

    def retrieve(self, users: Indices, k: int, exclude: ItemsByUser | None) -> Iterator[NDArray[np.intp]]:
        """Candidates of each user in ascending order, without excluded items.

        Args:
            users: int [B].
            k: number of items to rank afterwards.
            exclude: items of each user that are not to be returned.
        """
        count = max(self.candidates, math.ceil(self.candidates_per_item * k))
        n_items = len(self.items)
        height = max(1, _SCORES_PER_BLOCK // n_items)
        for start in range(0, len(users), height):
            block = users[start : start + height]
            for user, scores in zip(block.tolist(), self.scores(block), strict=True):
                if exclude is not None:
                    scores[exclude.of_user(user)] = -np.inf
                least = np.partition(scores, n_items - count)[n_items - count] if count < n_items else -np.inf
                yield np.flatnonzero(scores >= least if least > -np.inf else scores > -np.inf)


def _landmarks(scorer: Scorer) -> int:
    """Largest number of landmarks for an architecture."""
    if not scorer.config.has_tower:
        return 0
    return _LANDMARKS_NEUMF if scorer.config.has_product else _LANDMARKS_MLP


def _depth(exact: NDArray[np.float32], approximate: NDArray[np.float32], k: int) -> int:
    """Lowest number of top items by ``approximate`` that include the top ``k`` by ``exact``; float32 [n_items]."""
    best = np.argpartition(-exact, min(k, len(exact)) - 1)[:k]
    return int(np.count_nonzero(approximate >= approximate[best].min()))


def _landmark_rows(scores: NDArray[np.float32], count: int) -> list[int]:
    """Rows of ``scores`` that span the others best: pivoted Gram-Schmidt.

    Each step chooses the row with the largest residual. Fewer than ``count`` rows are chosen if the residual becomes
    0.
    """
    residual = scores.astype(np.float64)
    residual -= residual.mean(1, keepdims=True)  # the constant is a column of its own
    tolerance = 1e-9 * np.square(residual).sum(1).max()
    chosen: list[int] = []
    while len(chosen) < min(count, len(residual)):
        sizes = np.square(residual).sum(1)
        row = int(sizes.argmax())
        if sizes[row] <= tolerance:
            break
        direction = residual[row] / np.sqrt(sizes[row])
        residual -= np.outer(residual @ direction, direction)
        chosen.append(row)
    return chosen
