"""Ranking metrics, as functions on arrays.

Sampled protocol (He et al. 2017, section 4.1): each held-out positive is ranked among candidates that its user has
never interacted with. Every metric is a mean over positives.

Whole catalogue: all items that a user was not fitted on are ranked in one list, with all test positives of the user.
Every metric is a mean over users, as in torchmetrics and most of the literature. With one test positive a user, as in
leave-one-out, Recall@K equals HR@K, and the definitions of both protocols agree.
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


def ranks_among_candidates(
    positive: NDArray[np.floating], candidates: NDArray[np.floating], masked: NDArray[np.bool_]
) -> Ranks:
    """Rank of each positive among its candidates, from 1. In a tie the positive has the last rank.

    Args:
        positive: float [n], score of each positive.
        candidates: float [n, c], scores of its candidates.
        masked: bool [n, c], candidates to ignore, such as the positive itself.

    Raises:
        InputError: if a score is NaN, as a comparison with it would count as a hit.
    """
    if np.isnan(positive).any() or np.isnan(candidates).any():
        raise InputError("the model scores some items NaN: its weights have diverged; train with a lower learning rate")
    ahead = (candidates >= positive[:, None]) & ~masked
    ranks: Ranks = 1 + ahead.sum(axis=1)
    return ranks


def ranks_in_catalogue(scores: NDArray[np.floating], positives: NDArray[np.integer]) -> Ranks:
    """Ranks of the test positives of a user among all items, from 1, ascending. In a tie a positive has the last rank.

    Args:
        scores: float [n_items], -inf for masked items.
        positives: int [p], items. They are ranked among each other too.

    Returns:
        int64 [p].

    Raises:
        InputError: if a score is NaN.
    """
    others = scores.copy()
    others[positives] = -np.inf
    rows = np.broadcast_to(others, (len(positives), len(others)))
    mask = np.zeros(len(others), bool)
    mask[positives] = True
    among_others = ranks_among_candidates(scores[positives], rows, np.broadcast_to(mask, rows.shape))
    return np.sort(among_others) + np.arange(len(positives))  # a positive is ranked after the better positives


def hits(ranks: Ranks, cutoff: int) -> Floats:
    """HR@K of each positive: 1 if it is among the first ``cutoff``, else 0."""
    return (ranks <= cutoff).astype(np.float64)


def ndcg(ranks: Ranks, cutoff: int) -> Floats:
    """NDCG@K of each positive: 1 / log2(1 + rank) if it is among the first ``cutoff``, else 0.

    With one relevant item the ideal DCG is 1.
    """
    return np.where(ranks <= cutoff, 1 / np.log2(1 + ranks), 0.0)


def reciprocal_ranks(ranks: Ranks) -> Floats:
    """1 / rank of each positive; its mean is MRR."""
    return 1 / ranks


@dataclass(frozen=True)
class UserRanks:
    """Ranks of the test positives of several users in the whole catalogue.

    Attributes:
        owner: int64 [n], row of the user of each positive, ascending. Every user has one or more.
        ranks: int64 [n], from 1, ascending for each user.
    """

    owner: NDArray[np.int64]
    ranks: Ranks

    @property
    def positives(self) -> NDArray[np.int64]:
        """Test positives of each user, int64 [users]."""
        return np.bincount(self.owner)

    def sum_over_users(self, values: Floats) -> Floats:
        """Sum of values of the positives, float [n], of each user: float [users]."""
        return np.bincount(self.owner, values).astype(np.float64)

    def of_users(self, chosen: NDArray[np.bool_]) -> UserRanks:
        """Ranks of some users, bool [users]."""
        rows = chosen[self.owner]
        return UserRanks((np.cumsum(chosen) - 1)[self.owner[rows]], self.ranks[rows])


def user_hits(ranked: UserRanks, cutoff: int) -> Floats:
    """HR@K of each user: 1 if at least one of its test positives is among the first ``cutoff``, else 0."""
    return (ranked.sum_over_users(hits(ranked.ranks, cutoff)) > 0).astype(np.float64)


def user_recall(ranked: UserRanks, cutoff: int) -> Floats:
    """Recall@K of each user: the share of its test positives among the first ``cutoff``."""
    return ranked.sum_over_users(hits(ranked.ranks, cutoff)) / ranked.positives


def user_ndcg(ranked: UserRanks, cutoff: int) -> Floats:
    """NDCG@K of each user: DCG of its test positives by the best DCG that so many can have (Järvelin 2002)."""
    ideal = np.cumsum(1 / np.log2(1 + np.arange(1, cutoff + 1)))
    best: Floats = ideal[np.minimum(ranked.positives, cutoff) - 1]
    return ranked.sum_over_users(ndcg(ranked.ranks, cutoff)) / best


def user_reciprocal_ranks(ranked: UserRanks, cutoff: int) -> Floats:
    """MRR@K of each user: 1 / rank of its first test positive if that is among the first ``cutoff``, else 0."""
    first = ranked.ranks[np.searchsorted(ranked.owner, np.arange(len(ranked.positives)))]
    return np.where(first <= cutoff, 1 / first, 0.0)


class OfPositives(Protocol):
    """Metric of the sampled protocol: one value for each positive."""

    def __call__(self, ranks: Ranks, cutoff: int) -> Floats: ...


class OfUsers(Protocol):
    """Metric on the whole catalogue: one value for each user."""

    def __call__(self, ranked: UserRanks, cutoff: int) -> Floats: ...


SAMPLED: Mapping[str, OfPositives] = {"hr": hits, "ndcg": ndcg}
FULL: Mapping[str, OfUsers] = {
    "hr": user_hits,
    "ndcg": user_ndcg,
    "recall": user_recall,
    "mrr": user_reciprocal_ranks,
}


def gini(counts: NDArray[np.integer]) -> float:
    """Gini coefficient of the recommendations of each item: 0 if all are equal, towards 1 if few items have all."""
    ordered = np.sort(counts).astype(np.float64)
    n, total = len(ordered), ordered.sum()
    if not total:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))
