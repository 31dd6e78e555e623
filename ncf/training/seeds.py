"""Seeds of the random numbers of a fit."""

from __future__ import annotations

import numpy as np


def derived_seed(*parts: int) -> int:
    """One well-mixed seed for a combination of numbers."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> 1)
