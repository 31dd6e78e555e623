"""Ratings and times of a block of rows as arrays; what is no number or date is named with its row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import Block
from ncf.errors import InputError

MICROSECONDS = 1_000_000
_A_RATING = "a finite number such as 4 or 3.5"
_A_TIME = "seconds or milliseconds since 1970, or an ISO 8601 date such as 2024-05-31T12:00:00Z"
# a number below 1e11 is in seconds (so until the year 5138), below 1e14 in milliseconds, and so on
_UNITS = ((1e11, MICROSECONDS), (1e14, 1_000), (1e17, 1), (np.inf, 0.001))


def ratings(block: Block) -> NDArray[np.float32]:
    """A block's ratings, float32 [rows].

    Raises:
        InputError: at the first that is no finite number.
    """
    return _numbers(block, "rating", _A_RATING).astype(np.float32)


def times(block: Block) -> NDArray[Any]:
    """A block's times as they are written: float64 or int64 [rows], or datetime64[us] for dates (UTC).

    Raises:
        InputError: at the first that is neither a finite number nor an ISO 8601 date, or is not like the first row.
    """
    import pyarrow as pa

    array = block.columns["timestamp"]
    if pa.types.is_temporal(array.type):
        return _dates(block, array, [array.type])
    if pa.types.is_string(array.type) and not _casts(array[:1], pa.float64()):
        return _dates(block, array, [pa.timestamp("us"), pa.timestamp("us", "UTC")])
    if not array.null_count and _casts(array, pa.int64()):
        return np.asarray(array.cast(pa.int64()))
    return _numbers(block, "timestamp", _A_TIME)


def to_microseconds(parts: Sequence[NDArray[Any]], path: Path) -> NDArray[np.int64]:
    """Times of all blocks as microseconds since 1970 UTC, int64 [n]; the largest number tells the unit.

    Raises:
        InputError: if some are dates and some numbers.
    """
    dates = [part.dtype.kind == "M" for part in parts]
    if any(dates) and not all(dates):
        raise InputError(f"{path}: some timestamps are numbers and some are dates; expected one kind")
    joined = np.concatenate(parts)
    if any(dates):
        return joined.astype("datetime64[us]").astype(np.int64)
    return _scaled(joined)


def to_time(text: str) -> int:
    """Microseconds since 1970 UTC of a number or an ISO 8601 date, as they are accepted in a file.

    Raises:
        ValueError: if it is neither.
    """
    from datetime import UTC, datetime

    try:
        number = float(text)
    except ValueError:
        date = datetime.fromisoformat(text.strip())
        return round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * MICROSECONDS)
    if not np.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return int(_scaled(np.array([number]))[0])


def _scaled(numbers: NDArray[Any]) -> NDArray[np.int64]:
    largest = float(np.abs(numbers).max())
    scale = next(factor for bound, factor in _UNITS if largest < bound)
    if numbers.dtype.kind == "i" and isinstance(scale, int):
        return numbers * np.int64(scale)
    return np.rint(numbers * scale).astype(np.int64)


def _numbers(block: Block, role: str, expected: str) -> NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = block.columns[role]
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    if not (text or pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or _is_decimal(array.type)):
        raise block.fault(role, 0, f"values of type {array.type}; expected {expected}")
    encoded = array.dictionary_encode()  # there are few ratings: each is read once
    values = pc.utf8_trim_whitespace(encoded.dictionary) if text else encoded.dictionary
    if array.null_count or not _casts(values, pa.float64()):
        _refuse(
            block,
            role,
            _first_failing(pc.utf8_trim_whitespace(array) if text else array, [pa.float64()]),
            expected,
        )
    numbers: NDArray[np.float64] = np.asarray(values.cast(pa.float64()))[np.asarray(encoded.indices)]
    if not np.isfinite(numbers).all():
        _refuse(block, role, int((~np.isfinite(numbers)).argmax()), expected)
    return numbers


def _dates(block: Block, array: Any, kinds: Sequence[Any]) -> NDArray[Any]:
    import pyarrow as pa

    for kind in kinds:
        if not array.null_count and _casts(array, kind):
            moment = array.cast(kind).cast(pa.timestamp("us", getattr(kind, "tz", None)))
            return np.asarray(moment.cast(pa.timestamp("us"))).astype("datetime64[us]")
    return _refuse(block, "timestamp", _first_failing(array, kinds), _A_TIME)


def _refuse(block: Block, role: str, index: int, expected: str) -> NoReturn:
    value = block.columns[role][index].as_py()
    found = "empty" if value in (None, "") else f"'{value}'"
    raise block.fault(role, index, f"{found}; expected {expected}")


def _casts(array: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _first_failing(array: Any, kinds: Sequence[Any]) -> int:
    """The index of the first value that stops the kind which reads furthest, or of a null before it."""
    import pyarrow.compute as pc

    ends = [_prefix(array, kind) for kind in kinds]
    nulls = np.flatnonzero(np.asarray(pc.is_null(array)))
    return min(max(ends), int(nulls[0]) if len(nulls) else len(array) - 1)


def _prefix(array: Any, kind: Any) -> int:
    """How many values from the start can be cast, by bisection."""
    low, high = 0, len(array)  # the first `low` can be cast; not all of the first `high + 1`
    while low < high:
        middle = (low + high + 1) // 2
        if _casts(array[low:middle], kind):
            low = middle
        else:
            high = middle - 1
    return low


def _is_decimal(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_decimal(kind))
