"""Recommendations as tables: one row for each user and rank."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ncf.artifacts.model_folder import ModelFolder
from ncf.batch.arrow import to_arrow
from ncf.batch.users import STRANGER, Users
from ncf.models.ranker import NO_ITEM, Ranker, top_k_indices
from ncf.progress import Progress

_USERS_AT_ONCE = 64
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def schema(with_titles: bool) -> pa.Schema:
    """``user``, ``rank`` from 1, ``item``, ``score``, ``title`` (null where unknown), ``source``.

    Ids are raw. By ``model``, scores are logits; to users whom it does not know goes what is ``popular``, and
    scores are numbers of interactions: just as the endpoint answers.
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
    """Makes tables of users' best items.

    Args:
        model: that ranks them.
        k: items for each user.
        exclude_seen: leave out what a user has interacted with.
        with_titles: add the items' titles.
        candidates: see :class:`ncf.models.ranker.Ranker`.
    """

    def __init__(self, model: ModelFolder, k: int, exclude_seen: bool, with_titles: bool, candidates: int) -> None:
        self.ranker = Ranker(model.config, model.weights, candidates)
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
        """The rows of ``users[part]``, in their order.

        Args:
            pool: scores them.
            progress: counts users.
        """
        indices = users.indices[part]
        items = np.full((len(indices), min(self._k, len(self._item_ids))), NO_ITEM, np.int32)
        scores = np.full(items.shape, -np.inf, np.float32)
        strangers = indices == STRANGER
        items[strangers], scores[strangers] = self._popular, self._popularity[self._popular]
        progress.update(int(strangers.sum()))
        places = np.flatnonzero(~strangers)
        blocks = [places[start : start + _USERS_AT_ONCE] for start in range(0, len(places), _USERS_AT_ONCE)]
        answers = pool.map(lambda block: self.ranker.top_k(indices[block], self._k, self._exclude), blocks)
        for block, answer in zip(blocks, answers, strict=True):
            items[block], scores[block] = answer
            progress.update(len(block))
        return self._table(users.ids[part], items, scores, strangers)

    def _table(
        self, ids: Any, items: NDArray[np.int32], scores: NDArray[np.float32], strangers: NDArray[np.bool_]
    ) -> pa.Table:
        rows, ranks = np.nonzero(items != NO_ITEM)
        chosen = pa.array(items[rows, ranks])
        columns = {
            "user": pa.array(ids, pa.string()).take(pa.array(rows)),
            "rank": pa.array((ranks + 1).astype(np.int32)),
            "item": self._item_ids.take(chosen).cast(pa.string()),
            "score": pa.array(scores[rows, ranks]),
            "title": self._titles.take(chosen).cast(pa.string()),
            "source": pa.array(["model", "popular"]).take(pa.array(strangers[rows].astype(np.int8))),
        }
        return pa.table([columns[name] for name in self.schema.names], schema=self.schema)

    def recall(self, users: Users, count: int) -> float:
        """Share of the truly best items among those found, for some users that the model knows; NaN without any."""
        known = users.indices[users.indices != STRANGER]
        asked = np.sort(np.random.default_rng(0).permutation(known)[:count])
        hits = wanted = 0
        for user, found in zip(asked.tolist(), self.ranker.top_k(asked, self._k, self._exclude)[0], strict=True):
            exact = self.ranker.scorer.score_all(np.array([user]))[0]
            if self._exclude is not None:
                exact[self._exclude.of_user(user)] = -np.inf
            best = top_k_indices(exact, self._k)
            best = best[exact[best] > -np.inf]
            hits, wanted = hits + len(np.intersect1d(best, found)), wanted + len(best)
        return hits / wanted if wanted else math.nan


def cores() -> int:
    """Cores that this process may use: a container's limit counts, where Linux tells it."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_LIMIT.read_text().split()
        return max(1, min(available, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # there is no limit: 'max'
        return available


def parts(count: int, size: int) -> Iterator[slice]:
    """``range(count)`` in slices of ``size``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
