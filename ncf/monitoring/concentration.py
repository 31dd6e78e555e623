"""Concentration of served items on few of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.evaluation.metrics import gini

_TOP_SHARE = 0.01


@dataclass(frozen=True)
class Concentration:
    """How unevenly the places in lists are shared among all items of the catalogue.

    Attributes:
        coverage: share of the items that were in any list.
        gini: coefficient of Gini, 0 (all items equally often) to 1 (one item alone), items without a place included.
        top_share: share of the places that the most frequent 1 % of the items have, one item at least.
    """

    coverage: float
    gini: float
    top_share: float

    @classmethod
    def of(cls, counts: NDArray[np.int64]) -> Concentration:
        """The concentration of counts by item, int64 [items]; zeros if nothing was served."""
        n, total = len(counts), int(counts.sum())
        if not total:
            return cls(0.0, 0.0, 0.0)
        top = max(1, round(n * _TOP_SHARE))
        most = np.partition(counts, n - top)[n - top :]
        return cls(float(np.count_nonzero(counts) / n), gini(counts), float(most.sum() / total))
