"""Units of times that are numbers: seconds, milliseconds, microseconds or nanoseconds since 1970, by their size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MICROSECONDS = 1_000_000
"""Microseconds of a second."""
DAY = 86_400 * MICROSECONDS
NAMES = ("seconds", "milliseconds", "microseconds", "nanoseconds")
LIMIT = 1e20
"""Lowest number that is a time in no unit."""
_BOUNDS = (1e11, 1e14, 1e17, LIMIT)  # a lone number below the first is in seconds (year 5138), and so on
_EDGES = tuple(edge * 1000.0**unit for unit in range(len(NAMES)) for edge in (1e8, 5e9))
"""From 1973 to 2128 in each unit. Other numbers are of no unit for sure: 0, -1, dates before 1970, made-up times."""
_CONTINUUM = 0.1
"""Share of numbers between two units, of the rarer unit, from which both are one range of made-up times."""
_LAST_DAYS = (253_402_128_000, 253_402_387_200)  # seconds: 9999-12-30 to 10000-01-02


def size(number: float) -> int:
    """Place of a number among the edges of units: odd if it is of unit ``size // 2``, even if of no unit for sure."""
    return int(np.searchsorted(_EDGES, number, side="right"))


def sizes(numbers: NDArray[Any]) -> NDArray[np.int8]:
    """:func:`size` of each number, int8 [n]."""
    return np.searchsorted(_EDGES, numbers.astype(np.float64), side="right").astype(np.int8)


def unit_of(number: float) -> int:
    """Unit of a lone number, an index of :data:`NAMES`."""
    return int(np.searchsorted(_BOUNDS, abs(number), side="right"))


def is_last_day(number: float, unit: int) -> bool:
    """Whether a number is 9999-12-31 in a unit, in any time zone."""
    seconds = abs(number) / 1000**unit
    return bool(_LAST_DAYS[0] <= seconds < _LAST_DAYS[1])


def mixed_units(counts: Sequence[int], lowest: Sequence[float], highest: Sequence[float]) -> list[int]:
    """Units of the numbers of a file, the most frequent first: one, or several if the numbers mix units.

    Numbers mix units if they lie in clusters, a thousand times apart.

    Args:
        counts: count of the numbers of each :func:`size`.
        lowest: smallest absolute number of each size.
        highest: largest absolute number of each size.
    """
    present = [unit for unit in range(len(NAMES)) if counts[2 * unit + 1]]
    if not present:
        return [unit_of(max(high for high, count in zip(highest, counts, strict=True) if count))]
    present.sort(key=lambda unit: (-counts[2 * unit + 1], unit))
    main = present[0]
    others = [
        unit
        for unit in present[1:]
        if not (is_last_day(lowest[2 * unit + 1], main) and is_last_day(highest[2 * unit + 1], main))
    ]
    for unit in others:
        first, last = sorted((unit, main))
        between = sum(counts[2 * first + 2 : 2 * last + 1 : 2])
        if between > _CONTINUUM * min(counts[2 * unit + 1], counts[2 * main + 1]):
            return [max(present)]
    return [main, *others]


def to_microseconds(numbers: NDArray[Any], units: Sequence[int]) -> NDArray[np.int64]:
    """Times in microseconds since 1970 UTC, int64 [n].

    Args:
        numbers: int64 or float64 [n].
        units: of the numbers, the most frequent first, from :func:`mixed_units`.
    """
    main, *others = units
    if not len(numbers):
        return np.empty(0, np.int64)
    largest = max(abs(float(numbers.min())), abs(float(numbers.max())))
    if not others and largest < _BOUNDS[main]:
        return _scaled(numbers, main)
    absolute = np.abs(numbers.astype(np.float64))
    seconds = absolute / 1000.0**main
    own = np.searchsorted(_BOUNDS, absolute, side="right")
    is_main = (seconds >= _LAST_DAYS[0]) & (seconds < _LAST_DAYS[1])
    is_main |= (absolute < _BOUNDS[main]) & ~np.isin(sizes(numbers), [2 * unit + 1 for unit in others])
    own[is_main] = main
    times = np.empty(len(numbers), np.int64)
    for unit in np.unique(own).tolist():
        rows = own == unit
        times[rows] = _scaled(numbers[rows], unit)
    return times


def _scaled(numbers: NDArray[Any], unit: int) -> NDArray[np.int64]:
    factor = MICROSECONDS // 1000**unit
    if numbers.dtype.kind == "i":
        return numbers * np.int64(factor) if factor else numbers // np.int64(1000)
    return np.rint(numbers * (factor or 0.001)).astype(np.int64)
