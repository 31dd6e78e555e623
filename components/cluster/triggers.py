"""Cron expressions and intervals of recurring runs, as KFP accepts them."""

from __future__ import annotations

import re

from ncf.errors import InputError

SHORTEST_INTERVAL = 60
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_LONGEST = {month: 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31 for month in range(1, 13)}
"""Days of a month in its longest year."""
_PART = re.compile(r"(?:(?P<all>[*?])|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")


def checked_cron(text: str) -> str:
    """A cron expression of KFP: six fields, seconds first.

    KFP accepts five fields, too, but reads the first as seconds: a daily expression then runs every hour.

    Raises:
        InputError: that names the field at fault.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS):
        hint = f"; did you mean '0 {' '.join(fields)}'?" if len(fields) == len(_FIELDS) - 1 else ""
        names = ", ".join(name for name, *_ in _FIELDS)
        raise InputError(
            f"cron: '{text}' has {len(fields)} fields; expected {len(_FIELDS)} ({names}), "
            f"such as '0 0 3 * * *' for each day at 3:00{hint}"
        )
    for content, (name, lowest, highest, words) in zip(fields, _FIELDS, strict=True):
        if not all(_is_part(part, lowest, highest, words) for part in content.split(",")):
            named = f" or names such as {next(iter(words))}" if words else ""
            raise InputError(
                f"cron: {name} is '{content}' in '{text}'; expected *, numbers from {lowest} to {highest}{named}, "
                "ranges (1-5), steps (*/10) or lists of them"
            )
    _check_fires(text, *fields[3:])
    return " ".join(fields)


def _check_fires(text: str, days: str, months: str, weekdays: str) -> None:
    """Check that a date matches. A day of week that is given matches beside the day of month, not in addition.

    Raises:
        InputError: if no month has such a day.
    """
    if weekdays not in ("*", "?"):
        return
    first = min(min(_values(part, 1, 31, {})) for part in days.split(","))
    named = [month for part in months.split(",") for month in _values(part, 1, 12, _FIELDS[4][3])]
    if first > (longest := max(_LONGEST[month] for month in named)):
        raise InputError(
            f"cron: '{text}' never fires: day of month is '{days}', but month '{months}' has {longest} days at most"
        )


def _is_part(text: str, lowest: int, highest: int, words: dict[str, int]) -> bool:
    return bool(_values(text, lowest, highest, words))


def _values(text: str, lowest: int, highest: int, words: dict[str, int]) -> range:
    """Values of a part of a field; empty if the part is invalid."""
    found = _PART.fullmatch(text.lower())
    if not found or (found["step"] and int(found["step"]) == 0):
        return range(0)
    step = int(found["step"] or 1)
    if found["all"]:
        return range(lowest, highest + 1, step)
    given = [end for end in found.group("first", "last") if end]
    ends = [words.get(end, int(end) if end.isascii() and end.isdigit() else -1) for end in given]
    if ends != sorted(ends) or not all(lowest <= end <= highest for end in ends):
        return range(0)
    last = ends[-1] if found["last"] or not found["step"] else highest
    return range(ends[0], last + 1, step)
