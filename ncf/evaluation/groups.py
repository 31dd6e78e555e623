"""Groups of rows, such as test positives, by activity of users and popularity of items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.items_by_user import ItemsByUser

_QUARTERS = (0.25, 0.5, 0.75)
_POPULARITY = ("tail", "mid", "head")


@dataclass(frozen=True)
class Group:
    """Group of rows: test positives, or users.

    Attributes:
        name: of the group, with its range.
        rows: bool [m], members.
    """

    name: str
    rows: NDArray[np.bool_]


def by_activity(train: ItemsByUser, owners: NDArray[np.int32]) -> list[Group]:
    """Quarters of users by training interactions. There are fewer groups if quartiles are equal.

    Args:
        train: items of each user.
        owners: int32 [m], user of each row, such as those of test positives.
    """
    users, owner = np.unique(owners, return_inverse=True)
    counts = train.counts()[users]
    edges = np.unique(np.quantile(counts, _QUARTERS, method="higher"))
    quarter = np.searchsorted(edges, counts, side="left")
    groups = []
    for number in np.unique(quarter):
        low, high = counts[quarter == number].min(), counts[quarter == number].max()
        groups.append(Group(_range(low, high), (quarter == number)[owner]))
    return groups


def by_popularity(popularity: NDArray[np.int64], test: Pairs) -> list[Group]:
    """Test positives with items of the tail, the middle or the head of the catalogue.

    Each part has a third of all training interactions: the head has few items, the tail many.

    Args:
        popularity: int64 [n_items], training interactions of each item.
        test: test positives.
    """
    counts = np.sort(popularity)
    before = np.cumsum(counts) / max(counts.sum(), 1)  # share of interactions up to here
    edges = counts[np.searchsorted(before, [1 / 3, 2 / 3]).clip(max=len(counts) - 1)]
    third = np.searchsorted(edges, popularity[test[:, 1]], side="left")
    groups = []
    for number, label in enumerate(_POPULARITY):
        rows = third == number
        if rows.any():
            of_items = popularity[test[rows, 1]]
            groups.append(Group(f"{label}: {_range(of_items.min(), of_items.max())}", rows))
    return groups


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} – {high:,}"
