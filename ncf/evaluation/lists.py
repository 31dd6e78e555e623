"""Diversity and novelty of recommended lists, as in Castells et al. 2015 (Recommender Systems Handbook, chapter 26)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser

Floats = NDArray[np.float64]


def self_information(train: ItemsByUser, n_items: int) -> Floats:
    """Self-information of each item, -log2 of the share of users who have it, in bits: float64 [n_items].

    The novelty of a list is the mean over its items (Vargas and Castells 2011: popularity-based item novelty; Zhou et
    al. 2010). An item without users counts as one with one user.
    """
    users = np.maximum(np.bincount(train.items, minlength=n_items), 1)
    information: Floats = np.log2(max(train.n_users, 1)) - np.log2(users)
    return information


class Diversity:
    """Intra-list diversity: the mean distance of the pairs of items in a list, 0 to 1.

    As in Smyth and McClave 2001, and Vargas and Castells 2011. The distance of two items is 1 - cosine of their users
    in ``train``: 0 if the same users have both, 1 if nobody has both.

    Args:
        train: items of each user.
        n_items: items of the catalogue.
    """

    def __init__(self, train: ItemsByUser, n_items: int) -> None:
        self._users_of = ItemsByUser.of(np.asarray(train.items), train.users(), n_items)
        self._has = np.zeros(train.n_users, bool)
        self._known: dict[bytes, float] = {}

    def of_list(self, items: NDArray[np.integer[Any]]) -> float:
        """Diversity of a list, int [k]; 0 for fewer than two items."""
        key = np.sort(items).tobytes()
        if key not in self._known:
            self._known[key] = self._mean_distance(items)
        return self._known[key]

    def _mean_distance(self, items: NDArray[np.integer[Any]]) -> float:
        if len(items) < 2:
            return 0.0
        users = [self._users_of.of_user(item) for item in items.tolist()]
        norms = np.sqrt([max(len(of_item), 1) for of_item in users])
        similarity = 0.0
        for row, of_item in enumerate(users[:-1]):
            self._has[of_item] = True
            for other in range(row + 1, len(users)):
                similarity += np.count_nonzero(self._has[users[other]]) / (norms[row] * norms[other])
            self._has[of_item] = False
        return 1 - similarity / (len(items) * (len(items) - 1) / 2)
