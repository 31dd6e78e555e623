"""Confidence sequence of the difference between two variants: valid whenever one looks, and however often.

The asymptotic confidence sequence, with a Gaussian mixture boundary, of Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas: "Time-uniform central limit theory and asymptotic confidence sequences" (https://arxiv.org/abs/2103.06476). It
is applied to the scores of the augmented inverse probability weighted estimator of a randomized experiment, as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ncf.evaluation.intervals import Estimate

ALPHA = 0.05
"""Probability, over all looks together, that the interval does not contain the true difference."""
LEAST_HITS = 20
"""Outcomes above 0 that each variant would have if both were equal, from which on the limit theorem is relied upon."""
TIGHTEST_AT = 10_000
"""Number of users for which the sequence is tightest. It is valid for any number."""

Verdict = Literal["better", "worse", "not yet"]


def differences(
    challenged: NDArray[np.bool_], outcomes: NDArray[np.floating[Any]], share: float, looks: Sequence[int]
) -> list[Estimate | None]:
    """The difference of the means, challenger minus champion, with its interval at each look.

    Args:
        challenged: bool [n], whether each user was assigned to the challenger, in the order of the users' outcomes.
        outcomes: [n], outcome of each user, one a user.
        share: probability of an assignment to the challenger, 0 < share < 1.
        looks: numbers of users so far, ascending, n at most.

    Returns:
        An estimate for each look; None while a variant has too few users for ``LEAST_HITS``.
    """
    treated = challenged.astype(np.float64)
    values = np.asarray(outcomes, np.float64)
    first, second = _mean_before(treated, values), _mean_before(1 - treated, values)
    scores = first - second
    scores += treated / share * (values - first) - (1 - treated) / (1 - share) * (values - second)
    users, hits = np.cumsum(treated), np.cumsum(values > 0)
    sums, squares = np.cumsum(scores), np.cumsum(scores**2)
    found: list[Estimate | None] = []
    for n in looks:
        if n == 0 or hits[n - 1] / n * min(users[n - 1], n - users[n - 1]) < LEAST_HITS:
            found.append(None)
            continue
        mean = float(sums[n - 1] / n)
        deviation = math.sqrt(max(0.0, float(squares[n - 1] / n) - mean**2))
        margin = deviation * _width(n)
        found.append(Estimate(mean, mean - margin, mean + margin))
    return found


def verdict(estimate: Estimate | None) -> Verdict:
    """What an estimate says about the challenger."""
    if estimate is None or estimate.low <= 0 <= estimate.high:
        return "not yet"
    return "better" if estimate.low > 0 else "worse"


def _mean_before(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the weighted values before each one; 0 before the first."""
    count, total = (np.cumsum(column) - column for column in (weights, weights * values))
    return total / np.maximum(1, count)


def _width(n: int) -> float:
    """Half the width of the interval, in standard deviations of a score."""
    log = -2 * math.log(ALPHA)
    rho = (log + math.log(log + 1)) / TIGHTEST_AT  # rho squared
    scale = n * rho + 1
    return math.sqrt(2 * scale / (n * n * rho) * math.log(math.sqrt(scale) / ALPHA))
