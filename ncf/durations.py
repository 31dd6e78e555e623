"""Time spans as people write them: ``90m``, ``6h``, ``1d``."""

from __future__ import annotations

import re

from ncf.errors import InputError

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str, name: str, least: int = 1) -> int:
    """Seconds of a time span: a number, optionally followed by s, m, h or d.

    Args:
        text: the time span, such as 6h.
        name: name of the parameter, for errors.
        least: smallest number of seconds.

    Raises:
        InputError: if the text is not a time span, or too short.
    """
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text.strip())
    span = int(found[1]) * _UNITS[found[2]] if found else 0
    if span < least:
        raise InputError(f"{name}: '{text}' is given; expected {least} seconds or more, such as 3600, 90m or 6h")
    return span


def spelled(span: int) -> str:
    """The shortest text of a number of seconds, such as ``15m``."""
    unit = max((unit for unit, length in _UNITS.items() if unit and span % length == 0), key=_UNITS.__getitem__)
    return f"{span // _UNITS[unit]}{unit}"
