"""Times of all blocks of rows: numbers in any unit or dates, and what is doubtful about them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data import dates, units
from ncf.data.columns import Block
from ncf.data.numbers import casts, numbers, readable
from ncf.data.units import DAY, MICROSECONDS
from ncf.errors import InputError

USUAL = (365 * DAY, 4_102_444_800 * MICROSECONDS)
"""Microseconds of 1971-01-01 and 2100-01-01. Times outside are often dates that stand for an unknown time."""
_SNIFFED = 9  # first values of a block: most of them numbers or most of them dates
_SIZES = 2 * len(units.NAMES) + 1
_FACTORS = {"D": DAY, "s": MICROSECONDS, "ms": 1000, "us": 1, "ns": 1}
"""Unit of dates in parquet -> microseconds of one, rounded up."""
_ROLE = "timestamp"
_log = logging.getLogger(__name__)


@dataclass
class _Group:
    """Rows of one kind: their number, and the first of them.

    Attributes:
        rows: number of rows.
        first: file, row and value of the first one.
        lowest, highest: absolute numbers.
    """

    rows: int = 0
    first: str = ""
    lowest: float = np.inf
    highest: float = 0.0

    def add(self, block: Block, index: int, rows: int, lowest: float = np.inf, highest: float = 0.0) -> None:
        self.first = self.first or _place(block, index)
        self.rows += rows
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)


class Times:
    """Times of the blocks of all files, in one order."""

    def __init__(self) -> None:
        self._sizes = [_Group() for _ in range(_SIZES)]
        self._zoned, self._plain = _Group(), _Group()
        self._unusual: dict[str, tuple[float, str]] = {}
        self._first_of_kind: dict[bool, tuple[Path, str]] = {}
        """File, and row with value, of the first number (False) and of the first date (True)."""

    def read(self, block: Block) -> NDArray[Any]:
        """Times of a block as in the file: int64 or float64 [rows], or datetime64[us] for dates (UTC).

        Most of the first rows decide whether the block has numbers or dates. Other values become NaN or NaT.

        Raises:
            InputError: if too many values are unreadable.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        array = block.columns[_ROLE]
        if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
            return self._noted(block, _moments(array, array.type))
        if not (array.null_count or pa.types.is_boolean(array.type)) and casts(array, pa.int64()):
            return self._noted(block, np.asarray(array.cast(pa.int64())))
        if pa.types.is_string(array.type):
            trimmed = pc.utf8_trim_whitespace(array)
            is_number = [casts(trimmed[row : row + 1], pa.float64()) for row in range(min(len(array), _SNIFFED))]
            if 2 * sum(is_number) < len(is_number):
                return self._noted(block, self._dates(block, trimmed))
        found = numbers(block, _ROLE)
        found[np.abs(found) >= units.LIMIT] = np.nan
        return self._noted(block, found)

    def microseconds(self, parts: Sequence[NDArray[Any]], path: Path) -> NDArray[np.int64]:
        """Times of all blocks in microseconds since 1970 UTC, int64 [n]. Doubtful ones are logged.

        Args:
            parts: rows of the blocks, from :meth:`read`.
            path: of the file or folder, for messages.

        Raises:
            InputError: if some blocks have dates and some have numbers.
        """
        is_date = [part.dtype.kind == "M" for part in parts]
        if any(is_date) and not all(is_date):
            shown = [
                f"{kind}, the first in {file.relative_to(path) if path in file.parents else file.name}, {where}"
                for kind, (file, where) in (
                    ("numbers", self._first_of_kind[False]),
                    ("dates", self._first_of_kind[True]),
                )
            ]
            raise InputError(f"{path}: some timestamps are {' and some are '.join(shown)}; expected one kind")
        values = np.concatenate(parts)
        if any(is_date):
            if self._zoned.rows and self._plain.rows:
                _warn_of_mixture({"with a time zone": self._zoned, "without one, read as UTC": self._plain})
            times = values.astype("datetime64[us]").astype(np.int64)
        else:
            times = self._of_numbers(values)
        self._warn_of_unusual(times)
        return times

    def _of_numbers(self, values: NDArray[Any]) -> NDArray[np.int64]:
        if compact := dates.compact(values):
            times, form = compact
            _log.warning("timestamps such as %s are read as dates, %s", int(values[0]), form)
            return times
        sizes = self._sizes
        found = units.mixed_units(
            [group.rows for group in sizes], [group.lowest for group in sizes], [group.highest for group in sizes]
        )
        if len(found) > 1:
            groups = {f"in {units.NAMES[unit]}": sizes[2 * unit + 1] for unit in found}
            _warn_of_mixture(groups, "; each was converted by the size of its number")
        return units.to_microseconds(values, found)

    def _noted(self, block: Block, values: NDArray[Any]) -> NDArray[Any]:
        """The values. Sizes of numbers, and the lowest and highest unusual value, are kept for messages."""
        if values.dtype.kind == "M":
            present = values[~np.isnat(values)].astype(np.int64)
            low, high = USUAL
        else:
            present = values if values.dtype.kind == "i" else values[~np.isnan(values)]
            low, high = 0, 0
        if not len(present):
            return values
        is_date = values.dtype.kind == "M"
        if is_date not in self._first_of_kind:
            index = int(np.flatnonzero(~(np.isnat(values) if is_date else np.isnan(values)))[0])
            self._first_of_kind[is_date] = block.path, _row(block, index)
        ends = {"lowest": present.min(), "highest": present.max()}
        if values.dtype.kind != "M":
            self._note_sizes(block, values, *map(float, ends.values()))
        for name, end in ends.items():
            unusual = (
                end < low or end >= high if high else units.size(float(end)) % 2 == 0 or _may_be_last_day(float(end))
            )
            known = self._unusual.get(name)
            if unusual and (known is None or (end < known[0] if name == "lowest" else end > known[0])):
                where = values == (end if values.dtype.kind != "M" else np.datetime64(int(end), "us"))
                self._unusual[name] = (end, _place(block, int(where.argmax())))
        return values

    def _note_sizes(self, block: Block, values: NDArray[Any], low: float, high: float) -> None:
        if low > 0 and units.size(low) == units.size(high):
            self._sizes[units.size(low)].add(block, 0, len(values), low, high)
            return
        found, absolute = units.sizes(values), np.abs(values.astype(np.float64))
        found[np.isnan(absolute)] = -1
        for number in np.unique(found[found >= 0]).tolist():
            rows = np.flatnonzero(found == number)
            own = absolute[rows]
            self._sizes[number].add(block, int(rows[0]), len(rows), float(own.min()), float(own.max()))

    def _dates(self, block: Block, array: Any) -> NDArray[Any]:
        import pyarrow as pa

        for group, kind in ((self._plain, pa.timestamp("us")), (self._zoned, pa.timestamp("us", "UTC"))):
            if casts(array, kind):
                group.add(block, 0, len(array))
                return _moments(array, kind)
        array = dates.all_plain(array)
        zoned = np.asarray(dates.zoned(array))
        moments = np.full(len(array), np.datetime64("NaT"), "datetime64[us]")
        for group, kind, chosen in (
            (self._plain, pa.timestamp("us"), ~zoned),
            (self._zoned, pa.timestamp("us", "UTC"), zoned),
        ):
            rows = np.flatnonzero(chosen)
            if len(rows):
                found, _ = readable(block, _ROLE, array.take(pa.array(rows)), [kind], lambda index: int(rows[index]))  # noqa: B023
                moments[rows] = _moments(found, kind)
                readable_rows = rows[~np.isnat(moments[rows])]
                if len(readable_rows):
                    group.add(block, int(readable_rows[0]), len(readable_rows))
        return moments

    def _warn_of_unusual(self, times: NDArray[np.int64]) -> None:
        outside = int(len(times) - usual(times).sum())
        if not outside or 2 * outside > len(times):
            return
        ends = {"lowest": int(times.min()), "highest": int(times.max())}
        shown = [
            f"{as_date(end)}{f' ({self._unusual[name][1]})' if name in self._unusual else ''}"
            for name, end in ends.items()
            if not USUAL[0] <= end < USUAL[1]
        ]
        _log.warning(
            "%s of %s timestamps are before 1971 or after 2099: %s; they count as they are, so correct or leave out "
            "those that stand for an unknown time",
            f"{outside:,}", f"{len(times):,}", " to ".join(shown),
        )  # fmt: skip


def usual(times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each time, in microseconds since 1970 UTC, is from 1971 to 2099, bool [n]."""
    found: NDArray[np.bool_] = (times >= USUAL[0]) & (times < USUAL[1])
    return found


def to_time(text: str) -> int:
    """Microseconds since 1970 UTC of a number or a date, by the rules for a file.

    Raises:
        ValueError: if the text is neither.
    """
    from datetime import UTC, datetime

    try:
        number = float(text)
    except ValueError:
        date = datetime.fromisoformat(dates.plain(text))
        return round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * MICROSECONDS)
    if not abs(number) < units.LIMIT:
        raise ValueError(f"{text} is not a time")
    if compact := dates.compact(np.array([number])):
        return int(compact[0][0])
    return int(units.to_microseconds(np.array([number]), [units.unit_of(number)])[0])


def as_date(time: int) -> str:
    """Date of microseconds since 1970 UTC, as ``2024-05-31 12:00:00``."""
    return str(np.datetime64(time, "us").astype("datetime64[s]")).replace("T", " ")


def _warn_of_mixture(groups: Mapping[str, _Group], then: str = "") -> None:
    shown = " and ".join(f"{group.rows:,} {name} (the first is {group.first})" for name, group in groups.items())
    _log.warning("timestamps are mixed: %s%s", shown, then)


def _place(block: Block, index: int) -> str:
    return f"{block.path.name}, {_row(block, index)}"


def _row(block: Block, index: int) -> str:
    return f"row {block.row_number(index)}: {block.text(_ROLE, index)[:40]!r}"


def _may_be_last_day(number: float) -> bool:
    return any(units.is_last_day(number, unit) for unit in range(len(units.NAMES)))


def _moments(array: Any, kind: Any) -> NDArray[Any]:
    """Dates of a pyarrow array, datetime64[us] UTC; NaT for those beyond 64 bits of microseconds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = array.cast(kind)
    factor = _FACTORS["D" if pa.types.is_date32(kind) else getattr(kind, "unit", "ms")]
    number = moment.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    limit = np.iinfo(np.int64).max // factor
    moment = pc.if_else(pc.and_(pc.less_equal(number, limit), pc.greater_equal(number, -limit)), moment, None).cast(
        pa.timestamp("us", getattr(kind, "tz", None)), safe=False
    )
    found: NDArray[Any] = moment.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return found
