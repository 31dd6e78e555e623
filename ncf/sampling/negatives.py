"""Exact draws of negatives: never a known positive, never the same item twice in a row of draws.

Two strategies: ``uniform`` over what a user has not interacted with (He et al. 2017, section 4.1), and
``popularity``, successive draws in proportion to an item's training interactions.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.errors import InputError

Strategy = Literal["uniform", "popularity"]
_ROWS_AT_ONCE = 1 << 16  # numbers drawn in one block: what is searched stays in the cache
_FEW = 2  # a row that takes more than 1/_FEW of what remains is drawn by permutation


class _Draw(Protocol):
    """Draws slots, given the row of each slot: int64 [slots] -> int64 [slots]."""

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.int64]: ...


def draw_rows(
    users: NDArray[np.int32],
    known: ItemsByUser,
    n_items: int,
    width: int,
    rng: np.random.Generator,
    strategy: Strategy = "uniform",
    weights: NDArray[np.int64] | None = None,
    parameter: str = "width",
) -> NDArray[np.int32]:
    """Draw ``width`` distinct negatives for each entry of ``users``.

    Args:
        users: int32 [rows], sorted user indices; a user may stand in several rows.
        known: the positives to exclude, each user's items sorted and without repeats.
        n_items: size of the catalogue.
        width: negatives in a row.
        rng: source of randomness: the same state gives the same rows.
        strategy: ``uniform``, or ``popularity`` (then ``weights`` are needed).
        weights: int64 [n_items], relative chance of each item; at least 1.
        parameter: what messages call ``width``.

    Returns:
        int32 [rows, width] item indices.

    Raises:
        InputError: if a user has fewer than ``width`` items left.
    """
    check_enough(users, known, n_items, width, parameter)
    step = max(1, _ROWS_AT_ONCE // max(width, 1))
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


def check_enough(users: NDArray[np.int32], known: ItemsByUser, n_items: int, width: int, parameter: str) -> None:
    """See to it that each of ``users`` has ``width`` items left that it has not interacted with.

    Raises:
        InputError: otherwise; tells to what to lower the ``parameter``, or what is needed where that cannot help.
    """
    remaining = n_items - known.counts()
    short = users[remaining[users] < width]
    if len(short):
        least = int(remaining[short].min())
        what = (
            f"one has {least}: lower '{parameter}' to {least} at most"
            if least
            else "one has none, having interacted with every item: more items are needed, or data without such users"
        )
        raise InputError(
            f"parameter '{parameter}' is {width}: {len(np.unique(short))} users have fewer than {width} of the "
            f"{n_items} items left as negatives, {what}"
        )


def _uniform(
    users: NDArray[np.int32], known: ItemsByUser, n_items: int, width: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Distinct ranks among what remains, mapped to items by searching the gaps between positives."""
    remaining = n_items - (known.offsets[users + 1] - known.offsets[users])  # [rows]
    ranks = np.empty((len(users), width), np.int64)
    crowded = width * _FEW > remaining
    for row in np.flatnonzero(crowded):
        ranks[row] = rng.permutation(remaining[row])[:width]
    roomy = np.flatnonzero(~crowded)

    def draw(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        # floor(u * n) of a 53-bit u: its bias is below n / 2^53
        return (rng.random(len(rows)) * remaining[roomy[rows]]).astype(np.int64)

    ranks[roomy] = _distinct(len(roomy), width, draw)
    return _items_of_ranks(users, ranks, known, n_items)


def _items_of_ranks(
    users: NDArray[np.int32], ranks: NDArray[np.int64], known: ItemsByUser, n_items: int
) -> NDArray[np.int32]:
    """The ``rank``-th item that each user has not interacted with (rows sorted by user).

    A positive at place j among a user's sorted positives has ``item - j`` negatives before it. Those numbers,
    shifted by user, form one sorted array; a rank's place in it tells how many positives lie before.
    """
    first, last = int(users[0]) if len(users) else 0, int(users[-1]) + 1 if len(users) else 0
    start, end = known.offsets[first], known.offsets[last]
    counts = np.diff(known.offsets[first : last + 1])
    owners = np.repeat(np.arange(last - first, dtype=np.int64), counts)
    place = np.arange(end - start) - np.repeat(known.offsets[first:last] - start, counts)
    gaps = owners * (n_items + 1) + known.items[start:end] - place
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
    """Successive draws by weight, without the user's positives and without repeats.

    Draws by inversion of the cumulative weights *without* the user's positives: the weight before each positive
    is taken out, so nothing is rejected for being known.

    Args:
        cumulative: int64 [n_items + 1], weights of the items before each.
    """
    weights = np.diff(cumulative)
    total = int(cumulative[-1])
    first, last = int(users[0]) if len(users) else 0, int(users[-1]) + 1 if len(users) else 0
    start, end = known.offsets[first], known.offsets[last]
    positives = known.items[start:end]
    owners = np.repeat(np.arange(last - first, dtype=np.int64), np.diff(known.offsets[first : last + 1]))
    # weight of a user's positives before each of its positives, and in all
    running = np.concatenate([[0], np.cumsum(weights[positives])])
    base = running[known.offsets[first : last + 1] - start]  # [users + 1]
    taken = np.diff(base)
    gaps = owners * (total + 1) + cumulative[positives] - (running[:-1] - base[owners])
    rows_of_user = (users - first).astype(np.int64)
    rest = total - taken[rows_of_user]  # [rows]: weight of what remains

    def draw(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        point = np.minimum((rng.random(len(rows)) * rest[rows]).astype(np.int64), rest[rows] - 1)
        owner = rows_of_user[rows]
        before = np.searchsorted(gaps, owner * (total + 1) + point, side="right")
        found: NDArray[np.int64] = np.searchsorted(cumulative, point + running[before] - base[owner], side="right")
        return found - 1

    left = n_items - (known.offsets[users + 1] - known.offsets[users])
    crowded = width * _FEW > left
    items = np.empty((len(users), width), np.int64)
    for row in np.flatnonzero(crowded):
        items[row] = _race(known.of_user(int(users[row])), weights, width, rng)
    roomy = np.flatnonzero(~crowded)
    items[roomy] = _distinct(len(roomy), width, lambda rows: draw(roomy[rows]))
    return items.astype(np.int32)


def _race(
    known: NDArray[np.int32], weights: NDArray[np.int64], width: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Successive weighted draws as a race of exponential clocks (Efraimidis and Spirakis 2006)."""
    arrival = rng.exponential(size=len(weights)) / weights
    arrival[known] = np.inf
    winners: NDArray[np.int64] = np.argsort(arrival, kind="stable")[:width]
    return winners


def _distinct(rows: int, width: int, draw: _Draw) -> NDArray[np.int64]:
    """Draw ``rows`` x ``width`` values, and again wherever a row repeats one, until none repeats.

    Values drawn so far are kept, so a row ends as the first ``width`` distinct values of one sequence of
    draws, which is what successive drawing without replacement gives.
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
