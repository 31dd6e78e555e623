"""Time window that is monitored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ncf.data.times import to_time
from ncf.data.units import MICROSECONDS
from ncf.errors import InputError

HOUR_SECONDS = 3600
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Window:
    """A time window in UTC.

    Attributes:
        start: first moment.
        end: first moment after it.
    """

    start: datetime
    end: datetime

    @classmethod
    def of(cls, since: str, hours: int, now: datetime, delay_hours: int = 0) -> Window:
        """The window of ``hours`` hours from ``since`` on.

        Without ``since`` it is the latest complete one. Complete windows follow each other from 1970 on, so that all
        tries of a run have the same one, unless the next one is complete by then.

        Args:
            since: ISO date or number, as in interactions; '' for the latest complete window.
            hours: length.
            now: the present.
            delay_hours: hours that must have passed since the end of the latest complete window.

        Raises:
            InputError: if ``since`` is in the future, or before the year 1.
        """
        if since:
            try:
                start = datetime.fromtimestamp(to_time(since) // MICROSECONDS, UTC)
            except (ValueError, OverflowError) as error:
                raise InputError(f"parameter 'since' is '{since}': {error}; expected a time of the past") from None
            if start >= now:
                raise InputError(f"parameter 'since' is '{since}', which is in the future; expected an earlier time")
        else:
            length = hours * HOUR_SECONDS
            latest = int(now.timestamp()) - delay_hours * HOUR_SECONDS
            start = datetime.fromtimestamp(latest // length * length - length, UTC)
        return cls(start, start + timedelta(hours=hours))

    @property
    def hours(self) -> int:
        return int((self.end - self.start) / _HOUR)

    @property
    def id(self) -> str:
        """Name of the window, such as ``2026-11-28T00:00:00Z-24h``."""
        return f"{self.start:%Y-%m-%dT%H:%M:%SZ}-{self.hours}h"

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"

    def folders(self) -> Iterator[str]:
        """The folder of each hour that the window touches, ``yyyy/mm/dd/hh``, as SageMaker names them."""
        hour = self.start.replace(minute=0, second=0, microsecond=0)
        while hour < self.end:
            yield f"{hour:%Y/%m/%d/%H}"
            hour += _HOUR
