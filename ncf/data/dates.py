"""Dates as text, in ISO 8601 and the forms that programs write beside it, and as numbers such as 20240531."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COMPACT = {"YYYYMMDD": (1, 19_000_101, 21_001_231), "YYYYMMDDhhmmss": (10**6, 19_000_101_000_000, 21_001_231_235_959)}
"""Form of a date as a number -> the factor of its day, the first and the last one."""
FORMS = (
    (r"([0-9])\s*(?:UTC|GMT|Z|z)$", r"\1Z"),
    (r"([0-9])\s+([+-][0-9]{2}:?[0-9]{2})$", r"\1\2"),
    (r"^([0-9]{4})/([0-9]{2})/([0-9]{2})", r"\1-\2-\3"),
    (r"(:[0-9]{2})[.,]([0-9]{1,6})[0-9]*", r"\1.\2"),
)
"""Patterns that a date may have beside ISO 8601 as pyarrow reads it, and their replacements. Digits behind
microseconds are left out."""
_ZONED = r":[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$"


def plain(text: str) -> str:
    """A date in the form of ISO 8601."""
    for pattern, replacement in FORMS:
        text = re.sub(pattern, replacement, text.strip())
    return text


def all_plain(array: Any) -> Any:
    """:func:`plain` of each text of a pyarrow array."""
    import pyarrow.compute as pc

    for pattern, replacement in FORMS:
        array = pc.replace_substring_regex(array, pattern=pattern, replacement=replacement)
    return array


def zoned(array: Any) -> Any:
    """Whether each text of a pyarrow array is a date with a time zone, as a pyarrow array without nulls."""
    import pyarrow.compute as pc

    return pc.match_substring_regex(array, pattern=_ZONED).fill_null(False)


def compact(numbers: NDArray[Any]) -> tuple[NDArray[np.int64], str] | None:
    """Dates that are written as numbers, such as 20240531, or None if any number is no such date.

    Args:
        numbers: int64 or float64 [n].

    Returns:
        Microseconds since 1970 UTC, int64 [n], and the form of the numbers.
    """
    for form, (factor, first, last) in _COMPACT.items():
        if len(numbers) and first <= numbers.min() and numbers.max() <= last:
            whole = numbers.astype(np.int64)
            day, clock = whole // factor, whole % factor
            months = (day // 10_000 - 1970) * 12 + day // 100 % 100 - 1
            dates = months.astype("datetime64[M]").astype("datetime64[D]") + (day % 100 - 1)
            is_date = (day // 100 % 100 - 1 < 12) & (day // 100 % 100 > 0) & (day % 100 > 0)
            is_date &= (dates.astype("datetime64[M]").astype(np.int64) == months) & (whole == numbers)
            hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
            if is_date.all() and (hour < 24).all() and (minute < 60).all() and (second < 60).all():
                seconds = hour * 3600 + minute * 60 + second
                return dates.astype("datetime64[us]").astype(np.int64) + seconds * 1_000_000, form
    return None
