"""Time window: the events from a date on, or of the last days."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncf.data.times import as_date, to_time, usual
from ncf.data.units import DAY, MICROSECONDS
from ncf.errors import InputError


@dataclass(frozen=True)
class Window:
    """A time window, which ends at the newest event. Times are microseconds since 1970 UTC.

    Attributes:
        start: first time in the window.
        oldest, newest: of all events.
        events: number of all events.
        kept: number of events in the window.
        reason: the parameter that sets the start, and its value.
    """

    start: int
    oldest: int
    newest: int
    events: int
    kept: int
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.reason}: {self.kept:,} of {self.events:,} events are from {as_date(self.start)} on; the events run "
            f"from {as_date(self.oldest)} to {as_date(self.newest)} (UTC)"
        )


def in_window(time: NDArray[np.int64], since: str, days: int, path: Path) -> tuple[Window, NDArray[np.bool_]]:
    """The time window, and whether each event is in it, bool [n].

    Days count back from the newest event: of daily events as many days are kept. Times before 1971 and after 2099,
    which often stand for an unknown time, are not the newest one, unless they are the most. Of ``since`` and ``days``
    the later start counts.

    Args:
        time: int64 [n], microseconds since 1970 UTC.
        since: date or number; '' for none.
        days: 0 for none.
        path: of the data, for messages.

    Raises:
        InputError: if no event is in the window.
    """
    starts = {}
    if since:
        starts[f"since is '{since}'"] = to_time(since)
    if days:
        likely = time[usual(time)]
        newest = int((likely if 2 * len(likely) >= len(time) else time).max())
        starts[f"days is {days}"] = newest - days * DAY + MICROSECONDS
    reason = max(starts, key=starts.__getitem__)
    kept = time >= starts[reason]
    window = Window(starts[reason], int(time.min()), int(time.max()), len(time), int(np.count_nonzero(kept)), reason)
    if not window.kept:
        raise InputError(f"{path}: {window}; expected a time window with events")
    return window, kept
