"""Co-occurrence counts of items, computed in blocks: memory grows with the interactions alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array

from ncf.artifacts.items_by_user import ItemsByUser

_PAIRS_PER_BLOCK = 1 << 22
"""Co-occurrences in a block: at most 12 bytes each, and twice as many while they are sorted."""


@dataclass(frozen=True)
class Cooccurrences:
    """Co-occurrence counts of a range of items with all items.

    Attributes:
        items: rows of the block.
        counts: int32 [len(items), n_items], users who have both items. Column indices ascend within a row. The
            diagonal holds the users of each item.
    """

    items: range
    counts: csr_array


def interaction_matrix(train: ItemsByUser, n_items: int, dtype: DTypeLike) -> csr_array:
    """Binary interactions, [n_users, n_items]."""
    return csr_array((np.ones(len(train.items), dtype), train.items, train.offsets), shape=(train.n_users, n_items))


def cooccurrences(train: ItemsByUser, n_items: int) -> Iterator[Cooccurrences]:
    """Co-occurrence counts of all items, in ascending blocks."""
    by_user = interaction_matrix(train, n_items, np.int32)
    by_item = by_user.T.tocsr()
    pairs = np.concatenate([[0], np.cumsum(train.counts()[by_item.indices])])[by_item.indptr]  # before each item
    start = 0
    while start < n_items:
        end = int(np.searchsorted(pairs, pairs[start] + _PAIRS_PER_BLOCK, side="right")) - 1
        end = min(max(end, start + 1), n_items)
        counts = by_item[start:end] @ by_user
        yield Cooccurrences(range(start, end), counts.tocsc().tocsr())  # sorts the columns in linear time
        start = end
