"""Columns to read from a table, and blocks of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncf.errors import InputError

SHOWN_CHARACTERS = 60
"""Characters of a name or value in a message."""


@dataclass(frozen=True)
class Column:
    """A column to read.

    Attributes:
        role: content of the column, such as ``user``.
        names: accepted names in lower-case letters and digits, in order of preference.
        position: number of the column in a file without a header, from 1.
        given: name or number of the column from a parameter; '' to recognise it by ``names``.
        required: whether a table without the column is an error.
    """

    role: str
    names: tuple[str, ...]
    position: int
    given: str = ""
    required: bool = True

    @property
    def parameter(self) -> str:
        return f"{self.role}_column"


@dataclass(frozen=True)
class Block:
    """A block of rows of a table.

    Attributes:
        path: of the file.
        columns: a pyarrow array for each role in the table; strings if the file is text.
        names: name or number of each of these columns in the file.
        rows: number of rows.
        row_number: function from the index of a row in the block to its line in the file.
    """

    path: Path
    columns: Mapping[str, Any]
    names: Mapping[str, str]
    rows: int
    row_number: Callable[[int], int]

    def fault(self, role: str, index: int, reason: str) -> InputError:
        """An error with file, row and column."""
        return InputError(f"{self.path}: row {self.row_number(index)}, column '{self.names[role]}': {reason}")


def find_columns(path: Path, header: Sequence[str] | None, count: int, columns: Sequence[Column]) -> dict[str, int]:
    """Index of the column of each role, 0 to ``count`` - 1; without a header by number or position.

    Raises:
        InputError: if a required column is missing, a given one does not exist, or two roles share a column.
    """
    found: dict[str, int] = {}
    for column in columns:
        if header is None:
            number = int(column.given) if column.given.isdigit() else column.position
            if column.given and not column.given.isdigit():
                raise InputError(
                    f"{path}: {column.parameter} is '{column.given}', but the file has no header; "
                    f"give the column's number, 1 to {count}"
                )
            if 1 <= number <= count:
                found[column.role] = number - 1
            elif column.given or column.required:
                raise InputError(f"{path}: {column.parameter} is {number}, but the columns are 1 to {count}")
            continue
        if column.given:
            index = header.index(column.given) if column.given in header else None
        else:
            plain = [plain_name(name) for name in header]
            index = next((plain.index(name) for name in column.names if name in plain), None)
        if index is not None:
            found[column.role] = index
        elif column.given:
            raise InputError(f"{path}: no column '{column.given}' ({column.parameter}); it has {_listed(header)}")
        elif column.required:
            raise InputError(
                f"{path}: which column is the {column.role}? It has {_listed(header)}; "
                f"name one with {column.parameter}, or give a number if the file has no header"
            )
    for index in found.values():
        shared = [role for role, other in found.items() if other == index]
        if len(shared) > 1:
            name = header[index] if header else index + 1
            raise InputError(
                f"{path}: column '{name}' is {' and '.join(shared)} at once; name another column for one of them"
            )
    return found


def plain_name(name: str) -> str:
    """Name of a column in lower-case letters and digits: ``User_ID`` as ``userid``."""
    return "".join(filter(str.isalnum, name.lower()))


def _listed(header: Sequence[str]) -> str:
    names = ", ".join(f"'{name[:SHOWN_CHARACTERS]}'" for name in header[:20])
    return f"{names} and {len(header) - 20} more" if len(header) > 20 else names
