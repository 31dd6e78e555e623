"""Columns to read from a table, and blocks of their rows."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ncf.errors import InputError

SHOWN_CHARACTERS = 60
"""Characters of a name or value in a message."""
OFF = "none"
"""Value of a column's parameter that leaves the column out."""
Kind = Literal["time", "number", "text"]
"""Kind of the values of a column."""
_POSITIONS = 4
"""First columns of a file without a header, one of which may be the ratings."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Column:
    """A column to read.

    Attributes:
        role: content of the column, such as ``user``.
        names: accepted names in lower-case letters and digits, in order of preference.
        position: number of the column in a file without a header, from 1.
        given: name or number of the column from a parameter; '' to recognise it by ``names``, ``none`` to leave it out.
        required: whether a table without the column is an error.
        kinds: kinds of values that the column may have, the likeliest first; empty for any.
        hint: pattern of names that the column may have beside ``names``.
        parameter: that gives the column; '' for the role with ``_column`` behind it.
    """

    role: str
    names: tuple[str, ...]
    position: int
    given: str = ""
    required: bool = True
    kinds: tuple[Kind, ...] = ()
    hint: str = ""
    parameter: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameter", self.parameter or f"{self.role}_column")

    @property
    def is_off(self) -> bool:
        """Whether the column is left out."""
        return self.given.strip().lower() == OFF and not self.required


@dataclass(frozen=True)
class Block:
    """A block of rows of a table.

    Attributes:
        path: of the file.
        columns: a pyarrow array for each role in the table; strings if the file is text.
        names: name or number of each of these columns in the file.
        rows: number of rows.
        row_number: function from the index of a row in the block to its line in the file.
        unused: function to the first values of the columns that are not read, by their name or number in the file.
    """

    path: Path
    columns: Mapping[str, Any]
    names: Mapping[str, str]
    rows: int
    row_number: Callable[[int], int]
    unused: Callable[[], Mapping[str, Sequence[str]]] = dict

    def text(self, role: str, index: int) -> str:
        """Text of a value, for messages; '' for null. Dates beyond those of Python are numbers of their unit."""
        value = self.columns[role][index]
        try:
            python = value.as_py()
        except (OverflowError, ValueError):
            return f"{value.value} of type {value.type}"
        return "" if python is None else str(python)

    def fault(self, role: str, index: int, reason: str) -> InputError:
        """An error with file, row and column."""
        return InputError(f"{self.path}: row {self.row_number(index)}, column '{self.names[role]}': {reason}")


def find_columns(
    path: Path, header: Sequence[str] | None, count: int, columns: Sequence[Column], kinds: Sequence[Kind] = ()
) -> dict[str, int]:
    """Index of the column of each role, 0 to ``count`` - 1.

    A given column is found by its name, else by its number. The others are recognised by their names or, without a
    header, by their positions and kinds. A given column is never recognised as another one.

    Args:
        path: of the file, for messages.
        header: names of the columns; None without a header.
        count: number of columns.
        columns: to find.
        kinds: kind of each column; empty if they are unknown.

    Raises:
        InputError: if a required column is missing, a given one does not exist or is not the only one of its name, or
            two roles share a column.
    """
    wanted = [column for column in columns if not column.is_off]
    given = {column.role: _given(path, header, count, column) for column in wanted if column.given}
    for index in given.values():
        shared = [role for role, other in given.items() if other == index]
        if len(shared) > 1:
            name = header[index] if header else index + 1
            raise InputError(
                f"{path}: column '{name}' is {' and '.join(shared)} at once; name another column for one of them"
            )
    free = [index for index in range(count) if index not in given.values()]
    others = [column for column in wanted if not column.given]
    found = _named(path, header, free, others, kinds) if header else _placed(path, free, others, kinds)
    for column in others:
        if column.role not in found and column.required:
            listed = _listed(header) if header else f"{count} columns and no header"
            raise InputError(
                f"{path}: which column is the {column.role}? It has {listed}; give its name or number with "
                f"{column.parameter}"
            )
    return {column.role: {**given, **found}[column.role] for column in wanted if column.role in given | found}


def _given(path: Path, header: Sequence[str] | None, count: int, column: Column) -> int:
    name = column.given.strip()
    if header and name in header:
        indices = [index for index, other in enumerate(header) if other == name]
        if len(indices) > 1:
            raise _several(path, name, indices, column)
        return indices[0]
    if name.isascii() and name.isdigit():
        if 1 <= int(name) <= count:
            return int(name) - 1
        raise InputError(f"{path}: {column.parameter} is {name}, but the columns are 1 to {count}")
    if name.lower() == OFF:
        raise InputError(f"{path}: {column.parameter} is '{name}', but a column of {column.role}s is required")
    if header:
        raise InputError(f"{path}: no column '{name}' ({column.parameter}); it has {_listed(header)}")
    raise InputError(
        f"{path}: {column.parameter} is '{name}', but the file has no header; give the column's number, 1 to {count}"
    )


def _named(
    path: Path, header: Sequence[str], free: Sequence[int], columns: Sequence[Column], kinds: Sequence[Kind]
) -> dict[str, int]:
    """Index of each column that is recognised by its name."""
    found: dict[str, int] = {}
    for column in columns:
        indices = {index: plain_name(header[index]) for index in free if index not in found.values()}
        for name in column.names:
            same = [index for index, other in indices.items() if other == name]
            if len(same) > 1:
                raise _several(path, header[same[0]], same, column)
            if same:
                found[column.role] = same[0]
                break
        else:
            alike = [index for index in indices if kinds and column.kinds[:1] == ("time",) == (kinds[index],)]
            _hint(path, header, indices, column, found, alike)
    return found


def _hint(
    path: Path,
    header: Sequence[str],
    indices: Mapping[int, str],
    column: Column,
    found: dict[str, int],
    alike: Sequence[int],
) -> None:
    """Take the only column with a likely name if one is required. Otherwise say that it may be the one.

    Args:
        path: of the file, for messages.
        header: names of the columns.
        indices: plain name of each free column, by its index.
        column: to find.
        found: index of each column that is found, which is changed.
        alike: free columns with the values of an optional column.
    """
    likely = [index for index, name in indices.items() if column.hint and re.search(column.hint, name)] or alike
    if column.required and len(likely) == 1:
        found[column.role] = likely[0]
        _log.warning(
            "%s: column '%s' is read as the %s; %s names another one",
            path.name, header[likely[0]], column.role, column.parameter,
        )  # fmt: skip
    elif likely and not column.required:
        _log.warning(
            "%s: no column is recognised as the %s; is it %s? Then give its name with %s",
            path.name, column.role, _listed([header[index] for index in likely]), column.parameter,
        )  # fmt: skip


def _placed(path: Path, free: Sequence[int], columns: Sequence[Column], kinds: Sequence[Kind]) -> dict[str, int]:
    """Index of each column of a file without a header, by its position and the kinds of values."""
    usual = {column.role: column.position - 1 for column in columns if column.position - 1 in free}
    movable = sorted(
        (column for column in columns if column.kinds and kinds), key=lambda column: column.kinds[0] != "time"
    )
    found = {role: index for role, index in usual.items() if role not in {column.role for column in movable}}

    def take(column: Column, index: int | None) -> None:
        if index is not None and column.role not in found and index not in found.values():
            found[column.role] = index

    for column in movable:
        if column.role in usual and kinds[usual[column.role]] == column.kinds[0]:
            take(column, usual[column.role])
    for column in movable:
        indices = [index for index in free if index not in found.values() and kinds[index] == column.kinds[0]]
        far = column.required or column.kinds[0] == "time"
        take(column, next((index for index in indices if far or index < _POSITIONS), None))
    for column in movable:
        if column.required or (column.role in usual and kinds[usual[column.role]] in column.kinds):
            take(column, usual.get(column.role))
    for column in columns:
        if not column.kinds and kinds and column.role in found and kinds[found[column.role]] == "time":
            _log.warning(
                "%s: column %d is read as the %s, but its values look like times; %s gives another one",
                path.name, found[column.role] + 1, column.role, column.parameter,
            )  # fmt: skip
    if any(found.get(column.role) != usual.get(column.role) for column in movable):
        _say_placed(path, movable, found)
    return found


def _say_placed(path: Path, columns: Sequence[Column], found: Mapping[str, int]) -> None:
    shown = ", ".join(
        f"{f'column {found[column.role] + 1}' if column.role in found else 'no column'} is the {column.role} "
        f"({column.parameter})"
        for column in columns
    )
    _log.warning("%s has no header; by the look of the values, %s", path.name, shown)


def _several(path: Path, name: str, indices: Sequence[int], column: Column) -> InputError:
    numbers = " and ".join(str(index + 1) for index in indices)
    return InputError(
        f"{path}: columns {numbers} are both '{name}'; which one is the {column.role}? Give its number with "
        f"{column.parameter}"
    )


def plain_name(name: str) -> str:
    """Name of a column in lower-case letters and digits: ``User_ID`` as ``userid``."""
    return "".join(filter(str.isalnum, name.lower()))


def _listed(header: Sequence[str]) -> str:
    names = ", ".join(f"'{name[:SHOWN_CHARACTERS]}'" for name in header[:20])
    return f"{names} and {len(header) - 20} more" if len(header) > 20 else names
