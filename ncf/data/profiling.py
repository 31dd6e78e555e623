"""The profile of interactions that have been read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.profile import MAX_DAYS, Profile
from ncf.data.reading import Interactions
from ncf.data.units import DAY


def profile_of(read: Interactions) -> Profile:
    """The profile of interactions, before any filter. Times that are all equal must have been removed."""
    return Profile(
        rows=len(read) + read.unreadable,
        users=len(read.user_ids),
        items=len(read.item_ids),
        unreadable=read.unreadable,
        columns=dict(read.columns),
        newest=None if read.time is None else int(read.time.max()),
        daily=[] if read.time is None else _daily(read.time),
    )


def _daily(times: NDArray[np.int64]) -> list[int]:
    newest = int(times.max())
    days = min(MAX_DAYS, max(1, (newest - int(times.min())) // DAY))
    last = times[times > newest - days * DAY]
    return [int(rows) for rows in np.bincount((newest - last) // DAY, minlength=days)]
