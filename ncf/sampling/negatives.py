"""Exact negative sampling: no known positive, and no item twice in a row of draws.

Strategy ``uniform`` draws from the items that a user has not interacted with (He et al. 2017, section 4.1).
``popularity`` draws in proportion to the training interactions of an item, without replacement.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser

Strategy = Literal["uniform", "popularity"]
_DRAWS_PER_BLOCK = 1 << 16  # the searched arrays stay in the cache
_CROWDED = 2  # a row of more than 1 / _CROWDED of the remaining items is drawn by permutation


class _Draw(Protocol):
    """A draw for each slot, given its row: int64 [slots] -> int64 [slots]."""

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.int64]: ...


def draw_rows(
    users: NDArray[np.int32],
    known: ItemsByUser,
    n_items: int,
    width: int,
    rng: np.random.Generator,
    strategy: Strategy = "uniform",
    weights: NDArray[np.int64] | None = None,
) -> NDArray[np.int32]:
    """Draw ``width`` distinct negatives for each entry of ``users``.

    Args:
        users: int32 [rows], sorted user indices; a user may have several rows.
        known: positives to exclude, with sorted and distinct items of each user.
        n_items: size of the catalogue.
        width: negatives in a row.
        rng: the same state gives the same rows.
        strategy: ``uniform``, or ``popularity``, which needs ``weights``.
        weights: int64 [n_items], at least 1: an item is drawn in proportion to its weight.

    Returns:
        int32 [rows, width] item indices.

    Raises:
        ValueError: if a user has fewer than ``width`` items left.
    """
    if len(users) and n_items - known.counts()[users].max() < width:
        raise ValueError(f"a user has fewer than {width} of the {n_items} items left as negatives")
    step = max(1, _DRAWS_PER_BLOCK // max(width, 1))
    drawn = np.empty((len(users), width), np.int32)
    if strategy == "popularity" and weights is None:
        raise ValueError("the popularity strategy needs weights")
    cumulative = None if weights is None else np.concatenate([[0], np.cumsum(weights)])  # [n_items + 1]
    for start in range(0, len(users), step):
        block = users[start : start + step]
        if strategy == "uniform" or cumulative is None:
            drawn[start : start + step] = _uniform(block, known, n_items, width, rng)
        else:
            drawn[start : start + step] = _weighted(block, known, n_items, width, rng, cumulative)
    return drawn


def _uniform(
    users: NDArray[np.int32], known: ItemsByUser, n_items: int, width: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Distinct ranks among the remaining items, mapped to items by a search in the gaps between positives."""
    remaining = n_items - (known.offsets[users + 1] - known.offsets[users])  # [rows]
    ranks = np.empty((len(users), width), np.int64)
    crowded = width * _CROWDED > remaining
    for row in np.flatnonzero(crowded):
        ranks[row] = rng.permutation(remaining[row])[:width]
    roomy = np.flatnonzero(~crowded)

    def draw(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        # floor(u * n) of a 53-bit u has a bias below n / 2^53
        return (rng.random(len(rows)) * remaining[roomy[rows]]).astype(np.int64)

    ranks[roomy] = _distinct(len(roomy), width, draw)
    return _items_of_ranks(users, ranks, known, n_items)


def _items_of_ranks(
    users: NDArray[np.int32], ranks: NDArray[np.int64], known: ItemsByUser, n_items: int
) -> NDArray[np.int32]:
    """Item at each rank among those that a user has not interacted with; rows are sorted by user.

    The j-th of a user's sorted positives has ``item - j`` negatives before it. These numbers, shifted by user, are one
    sorted array. The insertion point of a rank in it is the number of positives before the item.
    """
    first, last = int(users[0]) if len(users) else 0, int(users[-1]) + 1 if len(users) else 0
    start, end = known.offsets[first], known.offsets[last]
    counts = np.diff(known.offsets[first : last + 1])
    owners = np.repeat(np.arange(last - first, dtype=np.int64), counts)
    position = np.arange(end - start) - np.repeat(known.offsets[first:last] - start, counts)
    gaps = owners * (n_items + 1) + known.items[start:end] - position
    rows = (users - first).astype(np.int64)[:, None]  # [rows, 1]
    before = np.searchsorted(gaps, (rows * (n_items + 1) + ranks).ravel(), side="right").reshape(ranks.shape)
    items: NDArray[np.int32] = (ranks + before - (known.offsets[users] - start)[:, None]).astype(np.int32)
    return items


def _weighted(
    users: NDArray[np.int32],
    known: ItemsByUser,
    n_items: int,
    width: int,
    rng: np.random.Generator,
    cumulative: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Weighted draws without replacement, and without the positives of the user.

    Draws by inversion of the cumulative weights of the other items: the weight of the positives before an item is
    subtracted, so no draw is rejected for being a positive.

    Args:
        users: int32 [rows], sorted.
        known: positives to exclude.
        n_items: size of the catalogue.
        width: negatives in a row.
        rng: of the draws.
        cumulative: int64 [n_items + 1], weight of all items before each.
    """
    weights = np.diff(cumulative)
    total = int(cumulative[-1])
    first, last = int(users[0]) if len(users) else 0, int(users[-1]) + 1 if len(users) else 0
    start, end = known.offsets[first], known.offsets[last]
    positives = known.items[start:end]
    owners = np.repeat(np.arange(last - first, dtype=np.int64), np.diff(known.offsets[first : last + 1]))
    # weight of all positives before each positive, and before each user
    running = np.concatenate([[0], np.cumsum(weights[positives])])
    base = running[known.offsets[first : last + 1] - start]  # [users + 1]
    of_positives = np.diff(base)
    gaps = owners * (total + 1) + cumulative[positives] - (running[:-1] - base[owners])
    rows_of_user = (users - first).astype(np.int64)
    remaining = total - of_positives[rows_of_user]  # [rows], weight of the remaining items

    def draw(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        point = np.minimum((rng.random(len(rows)) * remaining[rows]).astype(np.int64), remaining[rows] - 1)
        owner = rows_of_user[rows]
        before = np.searchsorted(gaps, owner * (total + 1) + point, side="right")
        found: NDArray[np.int64] = np.searchsorted(cumulative, point + running[before] - base[owner], side="right")
        return found - 1

    left = n_items - (known.offsets[users + 1] - known.offsets[users])
    crowded = width * _CROWDED > left
    items = np.empty((len(users), width), np.int64)
    for row in np.flatnonzero(crowded):
        items[row] = _race(known.of_user(int(users[row])), weights, width, rng)
    roomy = np.flatnonzero(~crowded)
    items[roomy] = _distinct(len(roomy), width, lambda rows: draw(roomy[rows]))
    return items.astype(np.int32)


def _race(
    known: NDArray[np.int32], weights: NDArray[np.int64], width: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Weighted draws without replacement, as a race of exponential clocks (Efraimidis and Spirakis 2006)."""
    arrival = rng.exponential(size=len(weights)) / weights
    arrival[known] = np.inf
    winners: NDArray[np.int64] = np.argsort(arrival, kind="stable")[:width]
    return winners


def _distinct(rows: int, width: int, draw: _Draw) -> NDArray[np.int64]:
    """Draw ``rows`` x ``width`` values, and redraw repeats within a row until there are none.

    A row is the first ``width`` distinct values of a sequence of draws, as in successive draws without replacement.
    """
    values = draw(np.repeat(np.arange(rows), width)).reshape(rows, width)
    pending = np.arange(rows)
    while len(pending):
        block = np.sort(values[pending], axis=1)
        repeats = np.zeros(block.shape, bool)
        repeats[:, 1:] = block[:, 1:] == block[:, :-1]
        row, column = np.nonzero(repeats)
        if not len(row):
            values[pending] = block
            break
        block[row, column] = draw(pending[row])
        values[pending] = block
        pending = pending[np.unique(row)]
    return values
