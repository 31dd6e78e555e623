"""Filters of interactions: duplicates, lowest rating, k-core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ncf.data.events import summed
from ncf.data.reading import Interactions

_log = logging.getLogger(__name__)
_Column = TypeVar("_Column", NDArray[np.float32] | None, NDArray[np.int64] | None, NDArray[np.int16] | None)
Duplicates = Literal["latest", "first"]


def select(interactions: Interactions, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Interactions:
    """Interactions at ``rows``, a mask or indices."""
    return replace(
        interactions,
        user=interactions.user[rows],
        item=interactions.item[rows],
        rating=_at(interactions.rating, rows),
        time=_at(interactions.time, rows),
        event=_at(interactions.event, rows),
        weight=_at(interactions.weight, rows),
    )


def _at(column: _Column, rows: NDArray[np.bool_] | NDArray[np.int64]) -> _Column:
    return None if column is None else column[rows]


def merge_duplicates(interactions: Interactions, keep: Duplicates, periods: Sequence[int] = ()) -> Interactions:
    """One interaction per user and item, the latest or first in time, with the sum of all their weights.

    Ties in time are broken by the higher rating, so the order of rows does not matter. Without times the last or
    first row is kept.

    Args:
        interactions: with repeats.
        keep: which one of several is kept.
        periods: microseconds since 1970 UTC, rising. What happened in a later period than the kept interaction has no
            weight in it: training must not know it.
    """
    ordered = _keys(interactions)
    ordered.sort()
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    del ordered
    if not len(repeated):
        return interactions
    key = _keys(interactions)
    rows = np.flatnonzero(np.isin(key, repeated))
    sign = 1 if keep == "latest" else -1
    by_time = rows if interactions.time is None else interactions.time[rows]
    by_rating = rows if interactions.rating is None else interactions.rating[rows]
    if interactions.time is None:
        by_rating = by_time
    order = np.lexsort((by_rating, by_time * sign, key[rows]))
    rows = rows[order]
    last = np.diff(key[rows], append=-1) != 0
    if interactions.weight is not None:
        weight = interactions.weight.copy()
        time = interactions.time[rows] if periods and interactions.time is not None else None
        weight[rows[last]] = _weights(weight[rows], time, last, periods)
        interactions = replace(interactions, weight=weight)
    chosen = np.ones(len(key), bool)
    chosen[rows] = False
    chosen[rows[last]] = True
    return select(interactions, chosen)


def _weights(
    weight: NDArray[np.float32], time: NDArray[np.int64] | None, last: NDArray[np.bool_], periods: Sequence[int]
) -> NDArray[np.float32]:
    """Weight of each pair of user and item, float32 [pairs], from events of which those of a pair are side by side.

    Args:
        weight: of each event.
        time: of each event, or None if all events count.
        last: whether each event is the last of its pair, the one that is kept.
        periods: as in :func:`merge_duplicates`.
    """
    pair: NDArray[np.int64] = np.cumsum(last) - last
    if time is not None:
        period = np.searchsorted(periods, time, side="right")
        counts = period <= period[last][pair]
        pair, weight = pair[counts], weight[counts]
    return summed(pair, weight, int(np.count_nonzero(last)))


def _keys(interactions: Interactions) -> NDArray[np.int64]:
    """Key of the user and item of each interaction, int64 [n]."""
    keys = interactions.user.astype(np.int64)
    keys <<= 32
    keys |= interactions.item
    return keys


def at_least(interactions: Interactions, min_rating: float) -> Interactions:
    """Interactions rated ``min_rating`` or higher; all interactions if there are no ratings. The others are logged."""
    if interactions.rating is None:
        return interactions
    enough = interactions.rating >= np.float32(min_rating)
    if enough.all():
        return interactions
    low, total = f"{np.count_nonzero(~enough):,}", f"{len(enough):,}"
    _log.warning("dropped %s of %s interactions with a rating below min_rating, %g", low, total, min_rating)
    return select(interactions, enough)


def core(
    interactions: Interactions, min_user: int, min_item: int, report: Callable[[str, Interactions], None]
) -> Interactions:
    """k-core: users and items with too few interactions are dropped in turn, until none is left.

    Args:
        interactions: to filter.
        min_user: lowest number of interactions of a user.
        min_item: lowest number of interactions of an item.
        report: called after each round with "users" or "items" and the remaining interactions.
    """
    while True:
        before = len(interactions)
        for name, minimum in (("users", min_user), ("items", min_item)):
            index = interactions.user if name == "users" else interactions.item
            enough = np.bincount(index) >= minimum if len(index) else np.zeros(0, bool)
            kept = enough[index]
            if not kept.all():
                interactions = select(interactions, kept)
                report(name, interactions)
        if len(interactions) == before:
            return interactions
