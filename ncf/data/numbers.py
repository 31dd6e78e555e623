"""Numbers of a block of rows, as arrays. Unreadable values become NaN and are reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import SHOWN_CHARACTERS, Block
from ncf.errors import InputError

CODED = ("user", "item", "event")
"""Roles whose values are numbers of texts, negative where missing."""
EXPECTED = {
    **dict.fromkeys(("user", "item"), "an id"),
    "event": "an event type",
    "rating": "a finite number such as 4 or 3.5",
    "timestamp": "seconds or milliseconds since 1970, or an ISO 8601 date such as 2024-05-31T12:00:00Z",
}
_log = logging.getLogger(__name__)
_MAX_UNREADABLE = 200  # distinct unreadable values of a block, each found by bisection
_MAX_LOGGED = 3  # unreadable values of a block


def ratings(block: Block) -> NDArray[np.float32]:
    """Ratings of a block, float32 [rows]; see :func:`numbers`."""
    return numbers(block, "rating").astype(np.float32)


class Unreadable:
    """Count of rows that are dropped for a missing id or event type, or an unreadable rating or time.

    Args:
        share: largest accepted share of all rows, 0 to 1.

    Attributes:
        rows: dropped rows so far.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self.rows = 0
        self._faults: list[InputError] = []
        self._other = ""

    def kept(self, block: Block, values: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
        """Rows of a block to keep, bool [rows], or None for all rows.

        Args:
            block: for messages.
            values: array of each role, negative for ids and event types, NaN or NaT for others, where unreadable.
        """
        bad = {role: array < 0 if role in CODED else _missing(array) for role, array in values.items()}
        dropped = np.logical_or.reduce(list(bad.values())) if bad else np.zeros(0, bool)
        if not dropped.any():
            return None
        for role, rows in bad.items():
            for index in np.flatnonzero(rows)[:_MAX_LOGGED].tolist():
                self._other = self._other or _other(role)
                self._faults.append(fault_of(block, role, index))
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
                f"'max_unreadable' accepts a share of {self._share:g}, {self._other})"
            )
        if self.rows:
            _log.warning("dropped %s of %s rows that cannot be read", f"{self.rows:,}", f"{total:,}")
        for fault in self._faults:
            _log.warning("dropped row: %s", fault)


def numbers(block: Block, role: str) -> NDArray[np.float64]:
    """Numbers of a block, float64 [rows]; NaN where the value is not a finite number.

    Raises:
        InputError: if the type of the column is not numeric or text, or too many values are unreadable.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = block.columns[role]
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    if not (text or pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or _is_decimal(array.type)):
        raise block.fault(role, 0, f"values of type {array.type}; expected {EXPECTED[role]} ({_other(role)})")
    encoded = array.dictionary_encode()  # there are few distinct ratings: each is parsed once
    values = pc.utf8_trim_whitespace(encoded.dictionary) if text else encoded.dictionary

    def first_row(index: int) -> int:
        return int((np.asarray(encoded.indices.fill_null(-1)) == index).argmax())

    values, kind = readable(block, role, values, [pa.float64()], first_row)
    distinct = values.cast(kind).to_numpy(zero_copy_only=False).astype(np.float64)
    found: NDArray[np.float64] = np.append(distinct, np.nan)[np.asarray(encoded.indices.fill_null(len(distinct)))]
    found[~np.isfinite(found)] = np.nan
    return found


def readable(
    block: Block, role: str, array: Any, kinds: Sequence[Any], row_of: Callable[[int], int] = int
) -> tuple[Any, Any]:
    """The array with nulls for unreadable values, and the first of ``kinds`` that all other values can be cast to.

    Args:
        block: for messages.
        role: of the column.
        array: values of the rows, of some rows, or the distinct values of a dictionary.
        kinds: accepted pyarrow types.
        row_of: function from the index of a value to the first row with it.

    Raises:
        InputError: with the first unreadable value, if there are too many.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    first = -1
    for _ in range(_MAX_UNREADABLE):
        for kind in kinds:
            if casts(array, kind):
                return array, kind
        index = max(_prefix(array, kind) for kind in kinds)
        first = index if first < 0 else first
        at_index = np.zeros(len(array), bool)
        at_index[index] = True
        array = pc.replace_with_mask(array, pa.array(at_index), pa.scalar(None, array.type))
    raise InputError(f"{fault_of(block, role, row_of(first))} ({_other(role)})")


def _other(role: str) -> str:
    """Parameter that helps where a column has other values than its role."""
    off = "" if role in CODED else " or 'none'"
    return f"'{role}_column' names another column{off}"


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "i":
        return np.zeros(len(values), bool)
    missing: NDArray[np.bool_] = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    return missing


def fault_of(block: Block, column: str, index: int, role: str = "") -> InputError:
    """An error for the unreadable value of a column in a row.

    Args:
        block: of the row.
        column: role of the column in the block.
        index: of the row in the block.
        role: of what is expected; '' for that of the column.
    """
    value = block.text(column, index)
    found = f"'{value[:SHOWN_CHARACTERS]}'" if value.strip() else "empty"
    return block.fault(column, index, f"{found}; expected {EXPECTED[role or column]}")


def casts(array: Any, kind: Any) -> bool:
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
        if casts(array[low:middle], kind):
            low = middle
        else:
            high = middle - 1
    return low


def _is_decimal(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_decimal(kind))
