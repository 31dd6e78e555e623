"""Ratings and times of a block of rows as arrays; what is no number or date is marked, and named with its row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import Block
from ncf.errors import InputError

MICROSECONDS = 1_000_000
EXPECTED = {
    "rating": "a finite number such as 4 or 3.5",
    "timestamp": "seconds or milliseconds since 1970, or an ISO 8601 date such as 2024-05-31T12:00:00Z",
}
_MOST_REPAIRED = 200  # unreadable values of a block that are looked for one by one
_MOST_NAMED = 3  # of a block in the log
_LOOKED_AT = 9  # first values of a block that tell whether its times are numbers or dates
# a number below 1e11 is in seconds (so until the year 5138), below 1e14 in milliseconds, and so on
_UNITS = ((1e11, MICROSECONDS), (1e14, 1_000), (1e17, 1), (1e20, 0.001))


def ratings(block: Block) -> NDArray[np.float32]:
    """A block's ratings, float32 [rows]; NaN where there is no finite number.

    Raises:
        InputError: if the column is of a type that holds no numbers, or too many are none.
    """
    return _numbers(block, "rating", EXPECTED["rating"]).astype(np.float32)


def times(block: Block) -> NDArray[Any]:
    """A block's times as they are written: int64 or float64 [rows], or datetime64[us] for dates (UTC).

    NaN or NaT stands where there is neither a number that is a time nor an ISO 8601 date, or not what most of the
    first rows have.

    Raises:
        InputError: if too many are neither.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = block.columns["timestamp"]
    if pa.types.is_temporal(array.type):
        return _dates(block, array, [array.type])
    if not array.null_count and _casts(array, pa.int64()):
        return np.asarray(array.cast(pa.int64()))
    if pa.types.is_string(array.type):
        trimmed = pc.utf8_trim_whitespace(array)
        first = [_casts(trimmed[place : place + 1], pa.float64()) for place in range(min(len(array), _LOOKED_AT))]
        if 2 * sum(first) < len(first):
            return _dates(block, trimmed, [pa.timestamp("us"), pa.timestamp("us", "UTC")])
    numbers = _numbers(block, "timestamp", EXPECTED["timestamp"])
    numbers[np.abs(numbers) >= _UNITS[-1][0]] = np.nan
    return numbers


class Unreadable:
    """Keeps count of rows that are dropped because a rating or time in them cannot be read.

    Args:
        share: of all rows, how many may be so.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self.rows = 0
        self._named: list[InputError] = []

    def kept(self, block: Block, values: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
        """Which rows of a block to keep, bool [rows]; None for all. ``values`` are those of each role."""
        bad = {role: _missing(array) for role, array in values.items()}
        dropped = np.logical_or.reduce(list(bad.values())) if bad else np.zeros(0, bool)
        if not dropped.any():
            return None
        for role, rows in bad.items():
            for index in np.flatnonzero(rows)[:_MOST_NAMED].tolist():
                self._named.append(_fault(block, role, index))
        self.rows += int(dropped.sum())
        return ~dropped

    def check(self, total: int) -> None:
        """Say which rows were dropped; raise the first fault, if more than the share of all ``total`` is unreadable."""
        if self.rows > self._share * total:
            raise InputError(
                f"{self._named[0]} ({self.rows:,} of {total:,} rows are unreadable; "
                f"'max_unreadable' is {self._share:g})"
            )
        for fault in self._named:
            logging.getLogger(__name__).warning("dropped: %s", fault)


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
    if not abs(number) < _UNITS[-1][0]:
        raise ValueError(f"{text} is no time")
    return int(_scaled(np.array([number]))[0])


def _scaled(numbers: NDArray[Any]) -> NDArray[np.int64]:
    largest = max(abs(float(numbers.min())), abs(float(numbers.max())))
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
    values, kind = _readable(block, role, values, [pa.float64()], encoded.indices)
    read = values.cast(kind).to_numpy(zero_copy_only=False).astype(np.float64)
    numbers: NDArray[np.float64] = np.append(read, np.nan)[np.asarray(encoded.indices.fill_null(len(read)))]
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _dates(block: Block, array: Any, kinds: Sequence[Any]) -> NDArray[Any]:
    import pyarrow as pa

    array, kind = _readable(block, "timestamp", array, kinds)
    moment = array.cast(kind).cast(pa.timestamp("us", getattr(kind, "tz", None)))
    dates: NDArray[Any] = moment.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return dates


def _readable(block: Block, role: str, array: Any, kinds: Sequence[Any], places: Any = None) -> tuple[Any, Any]:
    """The array with nulls where it cannot be cast, and the kind of ``kinds`` that it can be cast to.

    Args:
        places: for a dictionary of distinct values, which of them each row has.

    Raises:
        InputError: at the first value that cannot be cast, if many cannot.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    first = -1
    for _ in range(_MOST_REPAIRED):
        for kind in kinds:
            if _casts(array, kind):
                return array, kind
        index = max(_prefix(array, kind) for kind in kinds)
        first = index if first < 0 else first
        at_index = np.zeros(len(array), bool)
        at_index[index] = True
        array = pc.replace_with_mask(array, pa.array(at_index), pa.scalar(None, array.type))
    row = first if places is None else int((np.asarray(places.fill_null(-1)) == first).argmax())
    raise _fault(block, role, row)


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "i":
        return np.zeros(len(values), bool)
    missing: NDArray[np.bool_] = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    return missing


def _fault(block: Block, role: str, index: int) -> InputError:
    value = block.columns[role][index].as_py()
    found = "empty" if value in (None, "") else f"'{value}'"
    return block.fault(role, index, f"{found}; expected {EXPECTED[role]}")


def _casts(array: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


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
