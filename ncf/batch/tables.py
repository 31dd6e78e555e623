"""Tables of recommendations: one row for each user and rank."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ncf.artifacts.model_folder import ModelFolder
from ncf.batch.arrow import to_arrow
from ncf.batch.users import UNKNOWN, Users
from ncf.models.ranker import NO_ITEM, Ranker, top_k_indices
from ncf.progress import Progress

_USERS_PER_BLOCK = 64


def schema(with_titles: bool) -> pa.Schema:
    """Columns: ``user``, ``rank`` from 1, ``item``, ``score``, ``title`` (null if unknown), ``source``.

    Ids are raw. The source is ``model`` for users of the model, and scores are logits. It is ``popular`` for unknown
    users, and scores are interactions of the items. The endpoint answers the same.
    """
    fields = [
        pa.field("user", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        *([pa.field("title", pa.string())] if with_titles else []),
        pa.field("source", pa.string(), nullable=False),
    ]
    return pa.schema(fields)


class Tables:
    """Tables of the top-k items of users.

    Args:
        model: that ranks the items.
        k: items for each user.
        exclude_seen: whether to leave out the items that a user has interacted with.
        with_titles: whether to add titles.
        candidates: see :class:`ncf.models.ranker.Ranker`.
    """

    def __init__(self, model: ModelFolder, k: int, exclude_seen: bool, with_titles: bool, candidates: int) -> None:
        model = model.hosted()
        self.ranker = Ranker(model.config, model.weights, candidates, model.train)
        self.schema = schema(with_titles)
        self._k, self._exclude = k, model.seen if exclude_seen else None
        self._popularity = model.popularity
        self._popular = top_k_indices(model.popularity, k)
        self._item_ids = to_arrow(model.item_ids)
        self._titles = pa.nulls(len(model.item_ids), pa.string())
        if model.item_titles is not None:
            titles = to_arrow(model.item_titles)
            lengths = np.diff(model.item_titles.offsets)
            self._titles = pc.if_else(pa.array(lengths > 0), titles, pa.scalar(None, titles.type))

    def of(self, users: Users, part: slice, pool: ThreadPoolExecutor, progress: Progress) -> pa.Table:
        """Rows of ``users[part]``, in the order of the users.

        Args:
            users: of the batch.
            part: slice of the users.
            pool: threads that rank.
            progress: of users.
        """
        indices = users.indices[part]
        items = np.full((len(indices), min(self._k, len(self._item_ids))), NO_ITEM, np.int32)
        scores = np.full(items.shape, -np.inf, np.float32)
        unknown = indices == UNKNOWN
        items[unknown], scores[unknown] = self._popular, self._popularity[self._popular]
        progress.update(int(unknown.sum()))
        rows = np.flatnonzero(~unknown)
        blocks = [rows[start : start + _USERS_PER_BLOCK] for start in range(0, len(rows), _USERS_PER_BLOCK)]
        answers = pool.map(lambda block: self.ranker.top_k(indices[block], self._k, self._exclude), blocks)
        for block, answer in zip(blocks, answers, strict=True):
            items[block], scores[block] = answer
            progress.update(len(block))
        return self._table(users.ids[part], items, scores, unknown)

    def _table(
        self, ids: Any, items: NDArray[np.int32], scores: NDArray[np.float32], unknown: NDArray[np.bool_]
    ) -> pa.Table:
        rows, ranks = np.nonzero(items != NO_ITEM)
        chosen = pa.array(items[rows, ranks])
        columns = {
            "user": pa.array(ids, pa.string()).take(pa.array(rows)),
            "rank": pa.array((ranks + 1).astype(np.int32)),
            "item": self._item_ids.take(chosen).cast(pa.string()),
            "score": pa.array(scores[rows, ranks]),
            "title": self._titles.take(chosen).cast(pa.string()),
            "source": pa.array(["model", "popular"]).take(pa.array(unknown[rows].astype(np.int8))),
        }
        return pa.table([columns[name] for name in self.schema.names], schema=self.schema)

    def recall(self, users: Users, count: int) -> float:
        """Recall of retrieval: share of the exact top-k items in the result, for ``count`` users; NaN without users."""
        known = users.indices[users.indices != UNKNOWN]
        sample = np.sort(np.random.default_rng(0).permutation(known)[:count])
        hits = expected = 0
        for user, found in zip(sample.tolist(), self.ranker.top_k(sample, self._k, self._exclude)[0], strict=True):
            exact = self.ranker.scorer.score_all(np.array([user]))[0]
            if self._exclude is not None:
                exact[self._exclude.of_user(user)] = -np.inf
            best = top_k_indices(exact, self._k)
            best = best[exact[best] > -np.inf]
            hits, expected = hits + len(np.intersect1d(best, found)), expected + len(best)
        return hits / expected if expected else math.nan


def parts(count: int, size: int) -> Iterator[slice]:
    """Slices of ``range(count)`` with ``size`` elements each, but for the last."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
