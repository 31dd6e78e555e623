"""Dates that are text: ISO 8601, with or without a time zone, and the forms that programs write beside it."""

from __future__ import annotations

import re
from typing import Any

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
