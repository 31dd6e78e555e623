"""How many users have two items together, counted for some items at a time: memory grows with the data alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser

_PAIRS_AT_ONCE = 1 << 22
"""Pairs of items written out at a time, some 50 bytes each."""

_DENSE_SHARE = 0.25
"""Pairs by cells of a table above which counting in the table is quicker than sorting the pairs."""


@dataclass(frozen=True)
class Together:
    """Counts of some items with all items, the zeros left out.

    Attributes:
        items: the items that are counted.
        rows: int64 [n], place in ``items``, ascending.
        others: int64 [n], the other item, ascending for each row; an item stands beside itself too.
        counts: int64 [n], users that have both.
    """

    items: range
    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    counts: NDArray[np.int64]


def count_together(train: ItemsByUser, n_items: int) -> Iterator[Together]:
    """Count for each item, in ascending order, how many users have it together with each other one."""
    lengths = train.counts()
    users = ItemsByUser.of(train.items, train.users(), n_items)  # of each item
    before = np.concatenate([[0], np.cumsum(lengths[users.items])])  # pairs of all (item, user) before each
    ends = before[users.offsets]  # [n_items + 1], pairs before each item
    start = 0
    while start < n_items:
        end = int(np.searchsorted(ends, ends[start] + _PAIRS_AT_ONCE, side="right")) - 1
        end = min(max(end, start + 1), n_items)
        yield _count(train, users, before, range(start, end), n_items)
        start = end


def _count(train: ItemsByUser, users: ItemsByUser, before: NDArray[np.int64], items: range, n_items: int) -> Together:
    first, last = int(users.offsets[items.start]), int(users.offsets[items.stop])
    cells = len(items) * n_items
    if before[last] - before[first] >= _DENSE_SHARE * cells:
        table = np.zeros(cells, np.int64)
        while first < last:  # the users of one item can have more pairs than are written out at a time
            end = int(np.searchsorted(before, before[first] + _PAIRS_AT_ONCE, side="right")) - 1
            end = min(max(end, first + 1), last)
            table += np.bincount(_pairs(train, users, items, first, end, n_items), minlength=cells)
            first = end
        found = np.flatnonzero(table)
        counts = table[found]
    else:
        pairs = np.sort(_pairs(train, users, items, first, last, n_items))
        starts = np.flatnonzero(np.diff(pairs, prepend=-1))
        found, counts = pairs[starts], np.diff(starts, append=len(pairs))
    rows, others = np.divmod(found, n_items)
    return Together(items, rows, others, counts)


def _pairs(
    train: ItemsByUser, users: ItemsByUser, items: range, first: int, last: int, n_items: int
) -> NDArray[np.int64]:
    """``row * n_items + other`` of each item, its users from ``first`` to ``last``, and each item of these."""
    owners = users.items[first:last]
    lengths = train.offsets[owners + 1] - train.offsets[owners]
    shift = train.offsets[owners] - np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows = np.repeat(np.arange(len(items)), np.diff(users.offsets[items.start : items.stop + 1].clip(first, last)))
    places = np.arange(lengths.sum()) + np.repeat(shift, lengths)
    pairs: NDArray[np.int64] = train.items[places] + np.repeat(rows * n_items, lengths)
    return pairs
