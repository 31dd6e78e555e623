"""Top-k items of users: all items scored in a small catalogue, retrieved candidates in a large one."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig, Weights
from ncf.models.limits import CANDIDATES, CANDIDATES_PER_ITEM, EXACT_UP_TO
from ncf.models.retriever import Retriever
from ncf.models.scorer import Candidates, Indices, Scorer

NO_ITEM = -1


class Ranker:
    """Ranker of items: it retrieves candidates and scores them exactly.

    Args:
        config: architecture and sizes.
        weights: float32 arrays of :meth:`ModelConfig.weight_shapes`.
        candidates: lowest number of items to score exactly for a user in a catalogue of more than ``EXACT_UP_TO``
            items. A higher number misses fewer of the best items.
        histories: items of each user, oldest first, for a ``history`` model.

    Attributes:
        scorer: forward pass of the model.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        candidates: int = CANDIDATES,
        histories: ItemsByUser | None = None,
    ) -> None:
        self.scorer = Scorer(config, weights, histories)
        self._candidates = candidates
        self._retriever: Retriever | None = None
        self._lock = threading.Lock()

    def scores_all(self, k: int) -> bool:
        """Whether the top ``k`` items are chosen from the scores of all items, without retrieval."""
        n_items = self.scorer.config.n_items
        return n_items <= EXACT_UP_TO or n_items <= max(self._candidates, CANDIDATES_PER_ITEM * k)

    def retrieve(self, users: Indices, k: int, exclude: ItemsByUser | None = None) -> Iterator[Candidates]:
        """Candidates of each user in ascending order: a slice of all items where :meth:`scores_all` is true.

        Args:
            users: int [B].
            k: number of items to rank afterwards.
            exclude: items of each user that are not to be recommended. Retrieved candidates contain none of them;
                the slice of all items contains them.
        """
        if self.scores_all(k):
            return iter([slice(0, self.scorer.config.n_items)] * len(users))
        return self._prepared_retriever().retrieve(users, k, exclude)

    def top_k(
        self, users: Indices, k: int, exclude: ItemsByUser | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Top-k items of each user, highest score first. Ties are broken by the lower item index.

        Args:
            users: int [B].
            k: number of items.
            exclude: items of each user that are not to be returned, such as seen items.

        Returns:
            Items, int32 [B, min(k, n_items)], and logits, float32 of the same shape. A row with fewer items is
            filled with ``NO_ITEM`` and -inf.
        """
        width = min(k, self.scorer.config.n_items)
        items = np.full((len(users), width), NO_ITEM, np.int32)
        scores = np.full((len(users), width), -np.inf, np.float32)
        for row, (best, logits) in enumerate(self.top_k_of_each(users, k, exclude)):
            items[row, : len(best)], scores[row, : len(best)] = best, logits
        return items, scores

    def top_k_of_each(
        self, users: Indices, k: int, exclude: ItemsByUser | None = None
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Results of :meth:`top_k`, one user at a time and without filling."""
        width = min(k, self.scorer.config.n_items)
        for row, candidates in enumerate(self.retrieve(users, k, exclude)):
            scores = self.scorer.rescore(users[row : row + 1], candidates)[0]  # [C]
            if exclude is not None and isinstance(candidates, slice):
                scores[exclude.of_user(int(users[row]))] = -np.inf
            best = top_k_indices(scores, width)
            best = best[scores[best] > -np.inf]
            items = best if isinstance(candidates, slice) else candidates[best]
            yield items.astype(np.int32), scores[best]

    def with_users(self, gmf: NDArray[np.float32] | None, mlp: NDArray[np.float32] | None) -> Ranker:
        """A ranker of the same items with other user embeddings; the arrays of the items are shared."""
        return self._with_scorer(lambda scorer: scorer.with_users(gmf, mlp))

    def with_histories(self, histories: ItemsByUser) -> Ranker:
        """A ranker of the same items whose users, from 0, have these histories, oldest first (``history`` models)."""
        return self._with_scorer(lambda scorer: scorer.with_histories(histories))

    def _with_scorer(self, changed: Callable[[Scorer], Scorer]) -> Ranker:
        retriever = None if self.scores_all(1) else self._prepared_retriever()
        other = copy.copy(self)
        other.scorer = changed(self.scorer)
        other._retriever = retriever and retriever.with_scorer(other.scorer)
        return other

    def _prepared_retriever(self) -> Retriever:
        with self._lock:  # several threads rank with one ranker
            if self._retriever is None:
                retriever = Retriever(self.scorer, self._candidates)
                if self.scorer.config.has_product:  # the retriever has a copy of the vectors: one of both is enough
                    self.scorer = self.scorer.with_gmf_items(retriever.items[:, : self.scorer.config.product_width])
                self._retriever = retriever.with_scorer(self.scorer)
            return self._retriever


def top_k_indices(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Indices of the ``k`` highest of ``scores`` [n], highest first. Ties are broken by the lower index.

    Returns:
        int [min(k, n)].
    """
    if k >= len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    at_least = np.flatnonzero(scores >= least)  # the top k and all that tie with the last of them
    return at_least[np.argsort(-scores[at_least], kind="stable")[:k]]
