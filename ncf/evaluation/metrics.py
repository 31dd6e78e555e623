"""Ranking metrics with their definitions, as plain functions on arrays.

Sampled protocol (He et al. 2017, section 4.1): each held-out positive is ranked among candidates that its user
has never interacted with. Every metric is computed for each positive and then averaged over positives.

Full catalogue: all items that a user was not fitted on are ranked in one list, all its test positives among them,
and every metric is computed for each user and then averaged over users, as torchmetrics and most of the literature
do. With one test positive a user, as leave-one-out has it, Recall@K equals HR@K, and both protocols' definitions
agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ncf.errors import InputError

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]


def ranks(positive: NDArray[np.floating], candidates: NDArray[np.floating], masked: NDArray[np.bool_]) -> Ranks:
    """Place of each positive among its candidates, from 1; ties lose: equal scores stand before the positive.

    Args:
        positive: float [n], score of each positive.
        candidates: float [n, c], scores of its candidates.
        masked: bool [n, c], candidates that do not compete, such as the positive itself.

    Raises:
        InputError: if a score is not a number, since a comparison with it would count as a hit.
    """
    if np.isnan(positive).any() or np.isnan(candidates).any():
        raise InputError("the model scores some items NaN: its weights have diverged; train with a lower learning rate")
    ahead = (candidates >= positive[:, None]) & ~masked
    places: Ranks = 1 + ahead.sum(axis=1)
    return places


def ranks_in_catalogue(scores: NDArray[np.floating], positives: NDArray[np.integer]) -> Ranks:
    """Places of a user's test positives in the one list of all items, from 1, ascending; ties lose.

    Args:
        scores: float [n_items], -inf for items that do not compete.
        positives: int [p], items; they compete with each other too.

    Returns:
        int64 [p].

    Raises:
        InputError: as :func:`ranks` does.
    """
    others = scores.copy()
    others[positives] = -np.inf
    rows = np.broadcast_to(others, (len(positives), len(others)))
    mask = np.zeros(len(others), bool)
    mask[positives] = True
    among_others = ranks(scores[positives], rows, np.broadcast_to(mask, rows.shape))
    return np.sort(among_others) + np.arange(len(positives))  # behind each positive stand the worse ones


def hits(places: Ranks, cutoff: int) -> Floats:
    """HR@K of each positive: 1 if it is among the first ``cutoff``, else 0."""
    return (places <= cutoff).astype(np.float64)


def ndcg(places: Ranks, cutoff: int) -> Floats:
    """NDCG@K of each positive: 1 / log2(1 + rank) if it is among the first ``cutoff``, else 0.

    With one relevant item the ideal DCG is 1.
    """
    return np.where(places <= cutoff, 1 / np.log2(1 + places), 0.0)


def reciprocal_ranks(places: Ranks) -> Floats:
    """1 / rank of each positive; its mean is MRR."""
    return 1 / places


@dataclass(frozen=True)
class UserRanks:
    """Places of several users' test positives in the full catalogue.

    Attributes:
        owner: int64 [n], row of the user of each positive, ascending; every user has one or more.
        places: int64 [n], from 1, ascending for each user.
    """

    owner: NDArray[np.int64]
    places: Ranks

    @property
    def positives(self) -> NDArray[np.int64]:
        """Test positives of each user, int64 [users]."""
        return np.bincount(self.owner)

    def sum_over_users(self, values: Floats) -> Floats:
        """Sums of a value of each positive, float [n], by user: float [users]."""
        return np.bincount(self.owner, values).astype(np.float64)

    def of_users(self, chosen: NDArray[np.bool_]) -> UserRanks:
        """Those of some users alone, bool [users]."""
        rows = chosen[self.owner]
        return UserRanks((np.cumsum(chosen) - 1)[self.owner[rows]], self.places[rows])


def user_hits(ranked: UserRanks, cutoff: int) -> Floats:
    """HR@K of each user: 1 if at least one of its test positives is among the first ``cutoff``, else 0."""
    return (ranked.sum_over_users(hits(ranked.places, cutoff)) > 0).astype(np.float64)


def user_recall(ranked: UserRanks, cutoff: int) -> Floats:
    """Recall@K of each user: the share of its test positives among the first ``cutoff``."""
    return ranked.sum_over_users(hits(ranked.places, cutoff)) / ranked.positives


def user_ndcg(ranked: UserRanks, cutoff: int) -> Floats:
    """NDCG@K of each user: DCG of its test positives by the best DCG that so many can have (Järvelin 2002)."""
    ideal = np.cumsum(1 / np.log2(1 + np.arange(1, cutoff + 1)))
    best: Floats = ideal[np.minimum(ranked.positives, cutoff) - 1]
    return ranked.sum_over_users(ndcg(ranked.places, cutoff)) / best


def user_reciprocal_ranks(ranked: UserRanks, cutoff: int) -> Floats:
    """MRR@K of each user: 1 / rank of its first test positive if that is among the first ``cutoff``, else 0."""
    first = ranked.places[np.searchsorted(ranked.owner, np.arange(len(ranked.positives)))]
    return np.where(first <= cutoff, 1 / first, 0.0)


class OfPositives(Protocol):
    """A metric of the sampled protocol: one value a positive."""

    def __call__(self, places: Ranks, cutoff: int) -> Floats: ...


class OfUsers(Protocol):
    """A metric on the full catalogue: one value a user."""

    def __call__(self, ranked: UserRanks, cutoff: int) -> Floats: ...


SAMPLED: Mapping[str, OfPositives] = {"hr": hits, "ndcg": ndcg}
FULL: Mapping[str, OfUsers] = {
    "hr": user_hits,
    "ndcg": user_ndcg,
    "recall": user_recall,
    "mrr": user_reciprocal_ranks,
}


def gini(counts: NDArray[np.integer]) -> float:
    """Gini coefficient of how often each item is recommended: 0 all alike, towards 1 a few get all."""
    ordered = np.sort(counts).astype(np.float64)
    n, total = len(ordered), ordered.sum()
    if not total:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))
