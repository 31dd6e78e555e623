"""Ranking metrics with their definitions, as plain functions on arrays.

Sampled protocol (He et al. 2017, section 4.1): each held-out positive is ranked among candidates that its user
has never interacted with. Every metric is computed for each positive and then averaged over positives.
"""

from __future__ import annotations

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


def gini(counts: NDArray[np.integer]) -> float:
    """Gini coefficient of how often each item is recommended: 0 all alike, towards 1 a few get all."""
    ordered = np.sort(counts).astype(np.float64)
    n, total = len(ordered), ordered.sum()
    if not total:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))


def bootstrap(values: Floats, resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of a mean by resampling positives (Efron 1979).

    Args:
        values: float [n], one for each positive; a paired difference for a paired interval.
        resamples: how often to resample.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    step = max(1, (1 << 22) // max(len(values), 1))
    means: list[Floats] = []
    for start in range(0, resamples, step):
        drawn = rng.integers(0, len(values), (min(step, resamples - start), len(values)))
        means.append(values[drawn].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)
