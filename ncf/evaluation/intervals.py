"""Confidence intervals of means over test positives, by resampling users."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)
_DRAWN_AT_ONCE = 1 << 22
_QUANTILES = (0.025, 0.975)


class Estimate(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def estimate(
    columns: Mapping[Name, Floats], users: NDArray[np.integer[Any]], resamples: int, seed: int
) -> dict[Name, Estimate]:
    """Means and 95 % percentile intervals of columns that stand for the same test positives.

    Users are resampled, each with all its rows, since a user's rows are not independent of each other (the
    bootstrap of Efron 1979 for clusters: Field & Welsh 2007). All columns see the same resamples, so that the
    interval of a difference of two of them, given as a column of its own, is a paired one.

    Users with the same values are interchangeable: how often those of each kind are drawn is multinomial. Ranking
    metrics have few values, so a million users are as quick as a thousand.

    Args:
        columns: float [n] each.
        users: int [n], the user of each row; any order.
        resamples: how often to resample.
        seed: of the resampling.
    """
    _, owner = np.unique(users, return_inverse=True)
    counts = np.bincount(owner)
    sums = [np.bincount(owner, column) for column in columns.values()]
    table, alike = _kinds(np.column_stack([*sums, counts]))  # [kinds, columns + 1], [kinds]
    rng, n = np.random.default_rng(seed), len(counts)
    step = max(1, _DRAWN_AT_ONCE // len(table))
    means: list[Floats] = []
    for start in range(0, resamples, step):
        times = rng.multinomial(n, alike / n, min(step, resamples - start))  # how often each kind is drawn
        totals = times.astype(np.float64) @ table
        means.append(totals[:, :-1] / totals[:, -1:])
    low, high = np.quantile(np.concatenate(means), _QUANTILES, axis=0)
    mean = alike @ table[:, :-1] / len(owner)
    return {
        name: Estimate(float(mean[place]), float(low[place]), float(high[place])) for place, name in enumerate(columns)
    }


def _kinds(table: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The different rows of a table, float [n, columns], and how many there are of each."""
    kind = np.zeros(len(table), np.int64)
    for column in table.T:  # several times faster than np.unique on rows
        values, place = np.unique(column, return_inverse=True)
        _, kind = np.unique(kind * len(values) + place, return_inverse=True)
    _, first, alike = np.unique(kind, return_index=True, return_counts=True)
    return table[first], alike
