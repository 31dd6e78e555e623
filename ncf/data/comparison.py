"""Comparison of interactions with the last good ones, so that half a file does not become a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ncf.artifacts.profile import Profile
from ncf.data.comparison_settings import AGE, LIMITS
from ncf.data.times import as_date
from ncf.data.units import DAY

_WEEK = 7
_FEWEST = 30
"""Rows of a day, below which the next day may have none by chance."""

_MOST_DAYS = 1e9
_EARLIEST = -(2**63 - 1)
"""Microseconds since 1970 UTC, 292,000 years before it."""


@dataclass(frozen=True)
class Figure:
    """A figure of the comparison.

    Attributes:
        name: of its limit.
        what: description.
        before: value of the last good data.
        now: value of the new data.
        bound: what is accepted.
        holds: whether the new value is within the bound.
    """

    name: str
    what: str
    before: str
    now: str
    bound: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.what}: {self.now}, last good {self.before}, expected {self.bound} (limit '{self.name}')"


@dataclass(frozen=True)
class Comparison:
    """Interactions beside the last good ones.

    Attributes:
        with_: what they were compared with.
        figures: of the comparison; empty without one.
        absence: reason for no comparison; '' otherwise.
    """

    with_: str = ""
    figures: Sequence[Figure] = ()
    absence: str = ""

    def exceeded(self) -> list[Figure]:
        """Figures beyond their bounds."""
        return [figure for figure in self.figures if not figure.holds]


def compare(now: Profile, last: Profile, limits: Mapping[str, float], clock: int) -> list[Figure]:
    """Figures of new interactions beside those of the last good ones.

    Args:
        now: profile of the new interactions.
        last: profile of the last good ones.
        limits: that differ from :data:`LIMITS`; see :class:`ncf.data.comparison_settings.ComparisonSettings`.
        clock: microseconds since 1970 UTC, now.
    """
    limit = {**LIMITS, **limits}
    figures = [
        _count(name, f"Number of {name}", before, after, limit[name])
        for name, before, after in (
            ("rows", last.rows, now.rows),
            ("users", last.users, now.users),
            ("items", last.items, now.items),
        )
    ]
    figures += _days(now, last, limit["rows_a_day"])
    share = last.unreadable_share + limit["unreadable"]
    figures.append(
        Figure(
            "unreadable",
            "Share of unreadable rows",
            f"{last.unreadable_share:.4%}",
            f"{now.unreadable_share:.4%}",
            f"{share:.4%} at most",
            now.unreadable_share <= share,
        )
    )
    missing = last.columns.keys() - now.columns.keys()
    before, after = (", ".join(f"{name} ({role})" for role, name in of.columns.items()) for of in (last, now))
    accepted = f"{limit['columns']:g} missing at most" if limit["columns"] else f"all of {', '.join(last.columns)}"
    figures.append(
        Figure("columns", "Columns", before or "none", after or "none", accepted, len(missing) <= limit["columns"])
    )
    return figures + list(_times(now, last, limit, clock))


def _count(name: str, what: str, before: int, now: int, limit: float) -> Figure:
    least = before * (1 - limit)
    return Figure(name, what, f"{before:,}", f"{now:,}", f"{least:,.0f} or more", now >= least)


def _days(now: Profile, last: Profile, limit: float) -> list[Figure]:
    """The new day that falls short most, beside the lowest of the same weekdays of the last good data.

    New are the periods that end after the newest interaction of the last good data. Most days differ by weekday. The
    lowest of four is used, as the days of some data vary more than any limit.
    """
    if now.newest is None or last.newest is None or not last.daily:
        return []
    worst: tuple[float, Figure] | None = None
    for day, rows in enumerate(now.daily):
        ended = now.newest - day * DAY
        if ended <= last.newest:
            break
        first = round((last.newest - ended) / DAY) % _WEEK
        same = last.daily[first::_WEEK] if len(last.daily) > _WEEK else last.daily
        if (usual := min(same)) >= _FEWEST and (worst is None or rows / usual < worst[0]):
            what = f"Rows of the 24 hours up to {as_date(ended)}"
            worst = rows / usual, _count("rows_a_day", what, usual, rows, limit)
    return [worst[1]] if worst else []


def _times(now: Profile, last: Profile, limit: Mapping[str, float], clock: int) -> Iterator[Figure]:
    if now.newest is None:
        return
    if last.newest is not None:
        yield _newest("older_days", now.newest, last.newest, last.newest, limit["older_days"])
        # the same data are as good as before, however old
        if now.newest > last.newest and last.read is not None:
            yield _newest("lag_days", now.newest, last.newest, clock - (last.read - last.newest), limit["lag_days"])
    if AGE in limit:
        yield _newest(AGE, now.newest, last.newest, clock, limit[AGE])


def _newest(name: str, now: int, last: int | None, latest: int, limit: float) -> Figure:
    """The newest interaction, which may be ``limit`` days before ``latest``."""
    least = max(_EARLIEST, min(latest - round(min(limit, _MOST_DAYS) * DAY), -_EARLIEST))
    before = "none" if last is None else as_date(last)
    return Figure(name, "Newest interaction", before, as_date(now), f"{as_date(least)} or later", now >= least)
