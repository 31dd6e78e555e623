"""Ratings and times of a block of rows, as arrays. Unreadable values become NaN or NaT and are reported."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import SHOWN_CHARACTERS, Block
from ncf.errors import InputError

MICROSECONDS = 1_000_000
EXPECTED = {
    "rating": "a finite number such as 4 or 3.5",
    "timestamp": "seconds or milliseconds since 1970, or an ISO 8601 date such as 2024-05-31T12:00:00Z",
}
_MAX_UNREADABLE = 200  # distinct unreadable values of a block, each found by bisection
_MAX_LOGGED = 3  # unreadable values of a block
_SNIFFED = 9  # first values of a block: most of them numbers or most of them dates
# (bound, factor to microseconds): below 1e11 are seconds (up to the year 5138), below 1e14 milliseconds, and so on
_UNITS = ((1e11, MICROSECONDS), (1e14, 1_000), (1e17, 1), (1e20, 0.001))


def ratings(block: Block) -> NDArray[np.float32]:
    """Ratings of a block, float32 [rows]; NaN where the value is not a finite number.

    Raises:
        InputError: if the type of the column is not numeric or text, or too many values are unreadable.
    """
    return _numbers(block, "rating", EXPECTED["rating"]).astype(np.float32)


def times(block: Block) -> NDArray[Any]:
    """Times of a block as in the file: int64 or float64 [rows], or datetime64[us] for dates (UTC).

    Most of the first rows decide whether the block has numbers or ISO 8601 dates. Other values become NaN or NaT.

    Raises:
        InputError: if too many values are unreadable.
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
        is_number = [_casts(trimmed[row : row + 1], pa.float64()) for row in range(min(len(array), _SNIFFED))]
        if 2 * sum(is_number) < len(is_number):
            return _dates(block, trimmed, [pa.timestamp("us"), pa.timestamp("us", "UTC")])
    numbers = _numbers(block, "timestamp", EXPECTED["timestamp"])
    numbers[np.abs(numbers) >= _UNITS[-1][0]] = np.nan
    return numbers


class Unreadable:
    """Count of rows that are dropped for an unreadable rating or time.

    Args:
        share: largest accepted share of all rows, 0 to 1.

    Attributes:
        rows: dropped rows so far.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self.rows = 0
        self._faults: list[InputError] = []

    def kept(self, block: Block, values: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
        """Rows of a block to keep, bool [rows], or None for all rows.

        Args:
            block: for messages.
            values: array of each role, NaN or NaT where unreadable.
        """
        bad = {role: _missing(array) for role, array in values.items()}
        dropped = np.logical_or.reduce(list(bad.values())) if bad else np.zeros(0, bool)
        if not dropped.any():
            return None
        for role, rows in bad.items():
            for index in np.flatnonzero(rows)[:_MAX_LOGGED].tolist():
                self._faults.append(_fault(block, role, index))
        self.rows += int(dropped.sum())
        return ~dropped

    def check(self, total: int) -> None:
        """Log the dropped rows.

        Raises:
            InputError: with the first unreadable value, if too many of all ``total`` rows are dropped.
        """
        if self.rows > self._share * total:
            raise InputError(
                f"{self._faults[0]} ({self.rows:,} of {total:,} rows are unreadable; "
                f"'max_unreadable' accepts a share of {self._share:g})"
            )
        for fault in self._faults:
            logging.getLogger(__name__).warning("dropped row: %s", fault)


def to_microseconds(parts: Sequence[NDArray[Any]], path: Path) -> NDArray[np.int64]:
    """Times of all blocks in microseconds since 1970 UTC, int64 [n]. The largest number decides the unit of all.

    Raises:
        InputError: if some blocks have dates and some have numbers.
    """
    dates = [part.dtype.kind == "M" for part in parts]
    if any(dates) and not all(dates):
        raise InputError(f"{path}: some timestamps are numbers and some are dates; expected one kind")
    values = np.concatenate(parts)
    if any(dates):
        return values.astype("datetime64[us]").astype(np.int64)
    return _scaled(values)


def to_time(text: str) -> int:
    """Microseconds since 1970 UTC of a number or an ISO 8601 date, by the rules for a file.

    Raises:
        ValueError: if the text is neither.
    """
    from datetime import UTC, datetime

    try:
        number = float(text)
    except ValueError:
        date = datetime.fromisoformat(text.strip())
        return round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * MICROSECONDS)
    if not abs(number) < _UNITS[-1][0]:
        raise ValueError(f"{text} is not a time")
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
    encoded = array.dictionary_encode()  # there are few distinct ratings: each is parsed once
    values = pc.utf8_trim_whitespace(encoded.dictionary) if text else encoded.dictionary
    values, kind = _readable(block, role, values, [pa.float64()], encoded.indices)
    distinct = values.cast(kind).to_numpy(zero_copy_only=False).astype(np.float64)
    numbers: NDArray[np.float64] = np.append(distinct, np.nan)[np.asarray(encoded.indices.fill_null(len(distinct)))]
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _dates(block: Block, array: Any, kinds: Sequence[Any]) -> NDArray[Any]:
    import pyarrow as pa

    array, kind = _readable(block, "timestamp", array, kinds)
    moment = array.cast(kind).cast(pa.timestamp("us", getattr(kind, "tz", None)))
    dates: NDArray[Any] = moment.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return dates


def _readable(block: Block, role: str, array: Any, kinds: Sequence[Any], codes: Any = None) -> tuple[Any, Any]:
    """The array with nulls for unreadable values, and the first of ``kinds`` that all other values can be cast to.

    Args:
        block: for messages.
        role: of the column.
        array: values of the rows, or the distinct values of a dictionary.
        kinds: accepted pyarrow types.
        codes: index into the distinct values of each row, for a dictionary.

    Raises:
        InputError: with the first unreadable value, if there are too many.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    first = -1
    for _ in range(_MAX_UNREADABLE):
        for kind in kinds:
            if _casts(array, kind):
                return array, kind
        index = max(_prefix(array, kind) for kind in kinds)
        first = index if first < 0 else first
        at_index = np.zeros(len(array), bool)
        at_index[index] = True
        array = pc.replace_with_mask(array, pa.array(at_index), pa.scalar(None, array.type))
    row = first if codes is None else int((np.asarray(codes.fill_null(-1)) == first).argmax())
    raise _fault(block, role, row)


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "i":
        return np.zeros(len(values), bool)
    missing: NDArray[np.bool_] = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    return missing


def _fault(block: Block, role: str, index: int) -> InputError:
    value = block.columns[role][index].as_py()
    found = "empty" if value in (None, "") else f"'{str(value)[:SHOWN_CHARACTERS]}'"
    return block.fault(role, index, f"{found}; expected {EXPECTED[role]}")


def _casts(array: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _prefix(array: Any, kind: Any) -> int:
    """Number of values from the start that can be cast, by bisection."""
    low, high = 0, len(array)  # the first `low` can be cast, the first `high + 1` cannot
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
