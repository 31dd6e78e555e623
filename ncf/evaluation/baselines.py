"""What a model has to beat, from its training interactions alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ncf.data.items_by_user import ItemsByUser

NEIGHBOURS = 100
_MOST_ITEMS = 12_000  # a dense similarity matrix of 0.6 GB
_MOST_MULTIPLICATIONS = 2e12
_USERS_AT_ONCE = 512


def popularity(counts: NDArray[np.int64], items: NDArray[np.integer]) -> NDArray[np.float64]:
    """Score of items [...]: their training interactions."""
    scores: NDArray[np.float64] = counts[items].astype(np.float64)
    return scores


def why_no_item_knn(train: ItemsByUser, n_items: int) -> str:
    """Why item-kNN is left out for data of this size; '' if it is not."""
    if n_items > _MOST_ITEMS or 2.0 * train.n_users * n_items**2 > _MOST_MULTIPLICATIONS:
        return f"item-kNN is left out: {train.n_users:,} users x {n_items:,} items are too many for a dense matrix"
    return ""


def item_knn(
    train: ItemsByUser, n_items: int, users: NDArray[np.integer], items: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Score of items: cosine similarity with the user's items, over each item's 100 nearest neighbours.

    Sarwar et al. 2001, on binary interactions.

    Args:
        train: training interactions.
        n_items: size of the catalogue.
        users: int [n].
        items: int [n, c], items to score for each user.

    Returns:
        float32 [n, c].
    """
    together = np.zeros((n_items, n_items), np.float32)  # users who have both items
    for start in range(0, train.n_users, _USERS_AT_ONCE):
        block = _rows(train, np.arange(start, min(start + _USERS_AT_ONCE, train.n_users)), n_items)
        together += block.T @ block
    norm = np.sqrt(np.maximum(together.diagonal(), 1))
    similarity = together / norm[:, None] / norm
    np.fill_diagonal(similarity, 0)
    if n_items > NEIGHBOURS:
        least = np.partition(similarity, n_items - NEIGHBOURS, axis=0)[n_items - NEIGHBOURS]
        similarity[similarity < least] = 0  # column i keeps the neighbours of item i
    scores = np.empty(items.shape, np.float32)
    for start in range(0, len(users), _USERS_AT_ONCE):
        end = start + _USERS_AT_ONCE
        scores[start:end] = np.take_along_axis(
            _rows(train, users[start:end], n_items) @ similarity, items[start:end], 1
        )
    return scores


def _rows(train: ItemsByUser, users: NDArray[np.integer], n_items: int) -> NDArray[np.float32]:
    """Interactions of users as a dense 0/1 matrix [users, n_items]."""
    rows = np.zeros((len(users), n_items), np.float32)
    for row, user in enumerate(users.tolist()):
        rows[row, train.of_user(user)] = 1
    return rows
