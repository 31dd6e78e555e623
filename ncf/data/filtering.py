"""Filters of interactions: duplicates, lowest rating, k-core."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ncf.data.reading import Interactions

_log = logging.getLogger(__name__)
Duplicates = Literal["latest", "first"]


def select(interactions: Interactions, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Interactions:
    """Interactions at ``rows``, a mask or indices."""
    rating, time = interactions.rating, interactions.time
    return replace(
        interactions,
        user=interactions.user[rows],
        item=interactions.item[rows],
        rating=None if rating is None else rating[rows],
        time=None if time is None else time[rows],
    )


def merge_duplicates(interactions: Interactions, keep: Duplicates) -> Interactions:
    """One interaction per user and item, the latest or first in time.

    Ties in time are broken by the higher rating, so the order of rows does not matter. Without times the last or
    first row is kept.
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
    last = np.diff(key[rows][order], append=-1) != 0
    chosen = np.ones(len(key), bool)
    chosen[rows] = False
    chosen[rows[order[last]]] = True
    return select(interactions, chosen)


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
