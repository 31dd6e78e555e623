"""Whether a share is beyond a limit by more than chance."""

from __future__ import annotations

import math
from statistics import NormalDist

from ncf.monitoring.drift import SIGNIFICANCE

_Z = NormalDist().inv_cdf(1 - SIGNIFICANCE)


def lower_bound(share: float, n: float) -> float:
    """Lower bound of Wilson's interval (1927) for a share, one-sided, with the significance of drift.

    Args:
        share: that was observed.
        n: effective number of observations.
    """
    if n <= 0:
        return 0.0
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(0.0, (share + _Z**2 / (2 * n) - spread) / (1 + _Z**2 / n))
