"""Outcomes of shown lists: whether their users interacted with the items within a horizon."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ncf.monitoring.clusters import UserNumbers
from ncf.monitoring.interactions import LaterInteractions
from ncf.monitoring.shown import Shown

CUTOFF = 10
"""Places of a list that count: the figures are HR@10 and NDCG@10."""
_DISCOUNTS = [1 / math.log2(rank + 1) for rank in range(1, CUTOFF + 1)]
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class DayOutcomes:
    """What happened to the lists that a variant showed on a day. Each user counts once, with the mean of the own lists.

    Attributes:
        variant: of the endpoint.
        day: ISO date, UTC.
        users: int64 [users], number of each user, the same in all variants and days; unknown users share buckets.
        lists: int64 [users], lists of each user.
        hit: float64 [users], share of the lists that were followed by an interaction with one of their items.
        ndcg: float64 [users], mean NDCG@10 of the lists.
    """

    variant: str
    day: str
    users: NDArray[np.int64]
    lists: NDArray[np.int64]
    hit: NDArray[np.float64]
    ndcg: NDArray[np.float64]


class Outcomes:
    """Sums of outcomes by variant, day and user, whose memory grows with users and days alone.

    A list counts if the interactions reach to the end of its horizon. Otherwise its outcome is not known yet.

    Args:
        later: interactions from the start of the window on.
        numbers: of the users.
        horizon_hours: time after the list in which an interaction counts.

    Attributes:
        too_recent: lists whose horizon has not passed.
    """

    def __init__(self, later: LaterInteractions, numbers: UserNumbers, horizon_hours: int) -> None:
        self._later, self._numbers = later, numbers
        self._horizon = horizon_hours * 3600.0
        self._sums: dict[tuple[str, int], NDArray[np.float64]] = {}
        self.too_recent = 0

    def add(self, variant: str, time: float, shown: Shown) -> None:
        """Add a list.

        Args:
            variant: that answered.
            time: of the request, seconds since 1970 UTC.
            shown: the list. One without a user or without items has no outcome.
        """
        if shown.user is None or not shown.items:
            return
        if time + self._horizon > self._later.end:
            self.too_recent += 1
            return
        hit, ndcg = judged(self._later, shown, time, self._horizon)
        key = (variant, int(time) // _DAY_SECONDS)
        if key not in self._sums:
            self._sums[key] = np.zeros((3, self._numbers.size))
        sums, number = self._sums[key], self._numbers.of(shown.user)
        sums[0, number] += 1
        if hit:
            sums[1, number] += hit
            sums[2, number] += ndcg

    def daily(self) -> Iterator[DayOutcomes]:
        """Outcomes of each variant and day, in order."""
        for (variant, day), (lists, hits, ndcg) in sorted(self._sums.items(), key=lambda entry: entry[0]):
            users = np.flatnonzero(lists)
            count = lists[users]
            date = datetime.fromtimestamp(day * _DAY_SECONDS, UTC).date().isoformat()
            yield DayOutcomes(variant, date, users, count.astype(np.int64), hits[users] / count, ndcg[users] / count)


def judged(later: LaterInteractions, shown: Shown, time: float, horizon: float) -> tuple[float, float]:
    """Hit and NDCG of a list: of its first items, against all that the user interacted with in the horizon.

    Args:
        later: interactions.
        shown: the list, which has a user.
        time: of the request, seconds since 1970 UTC.
        horizon: seconds after the request.
    """
    assert shown.user is not None
    found = later.of_user(shown.user, time, time + horizon)
    if not found:
        return 0.0, 0.0
    gained, items = 0.0, later.items
    for discount, item in zip(_DISCOUNTS, shown.items):
        if items.get(item) in found:
            gained += discount
    return float(gained > 0), gained / sum(_DISCOUNTS[: len(found)])
