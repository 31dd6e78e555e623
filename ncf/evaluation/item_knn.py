"""Item-kNN: the nearest neighbours of each item by cosine similarity of their users."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation.cooccurrence import Cooccurrences, cooccurrences
from ncf.evaluation.rankers import Neighbours
from ncf.progress import progress

_log = logging.getLogger(__name__)


def item_knn(
    train: ItemsByUser, n_items: int, neighbours: int, shrinkages: Sequence[float] = (0.0,)
) -> list[Neighbours]:
    """Item-kNN on binary interactions (Sarwar et al. 2001), for several shrinkages with one count of co-occurrences.

    The similarity of two items is ``n_ij / (sqrt(n_i n_j) + shrinkage)``: a shrinkage takes weight from pairs that few
    users have (Dacrema et al. 2019). Ties are broken by the lower item index. Memory: 8 bytes a neighbour and
    shrinkage, twice while they are computed, and 24 bytes an interaction.

    Args:
        train: items of each user.
        n_items: items of the catalogue.
        neighbours: most neighbours of an item.
        shrinkages: 0 or more, each.
    """
    _log.info("fitting baseline item-kNN on %s users and %s items", f"{train.n_users:,}", f"{n_items:,}")
    norms = np.sqrt(np.maximum(np.bincount(train.items, minlength=n_items), 1)).astype(np.float32)
    found = [_Collected(n_items) for _ in shrinkages]
    with progress("fitting baseline item-kNN", n_items, "items") as bar:
        for block in cooccurrences(train, n_items):
            for collected, shrinkage in zip(found, shrinkages, strict=True):
                collected.add(block, *nearest_of_block(block, norms, neighbours, shrinkage))
            bar.update(len(block.items))
    return [collected.neighbours(train) for collected in found]


def nearest_of_block(
    block: Cooccurrences, norms: NDArray[np.float32], neighbours: int, shrinkage: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The most similar other items of each item of a block, the nearest first.

    Args:
        block: co-occurrence counts.
        norms: float32 [n_items], square root of the number of users of each item.
        neighbours: most neighbours of an item.
        shrinkage: 0 or more.

    Returns:
        Number of neighbours of each item, int64 [items]; their entries in ``block.counts.data``, int64 [found], in the
        order of the items; and their similarities, float32 [found].
    """
    rows = np.repeat(np.arange(len(block.items)), np.diff(block.counts.indptr))
    others = block.counts.indices
    scale = norms[rows + block.items.start] * norms[others] + np.float32(shrinkage)
    similarity = block.counts.data.astype(np.float32) / scale
    entries = np.flatnonzero(others != rows + block.items.start)
    rows, similarity = rows[entries], similarity[entries]
    # positive floats sort as their bits do, and a stable sort keeps the order of tied items
    order = np.argsort(rows << 32 | ~similarity.view(np.uint32), kind="stable")
    counts = np.bincount(rows, minlength=len(block.items))
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)  # from 0
    chosen = order[rank < neighbours]
    return np.minimum(counts, neighbours), entries[chosen], similarity[chosen]


class _Collected:
    """Neighbours of the blocks that were added."""

    def __init__(self, n_items: int) -> None:
        self._lengths = np.zeros(n_items, np.int64)
        self._nearest: list[NDArray[np.int32]] = []
        self._weights: list[NDArray[np.float32]] = []

    def add(
        self,
        block: Cooccurrences,
        lengths: NDArray[np.int64],
        entries: NDArray[np.int64],
        similarity: NDArray[np.float32],
    ) -> None:
        self._lengths[block.items.start : block.items.stop] = lengths
        self._nearest.append(block.counts.indices[entries].astype(np.int32))
        self._weights.append(similarity)

    def neighbours(self, train: ItemsByUser) -> Neighbours:
        offsets = np.concatenate([[0], np.cumsum(self._lengths)])
        return Neighbours(ItemsByUser(offsets, np.concatenate(self._nearest)), np.concatenate(self._weights), train)
