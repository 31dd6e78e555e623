"""Columns that are looked for in a table, and blocks of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncf.errors import InputError


@dataclass(frozen=True)
class Column:
    """A column that is looked for.

    Attributes:
        role: what it holds: ``user``.
        names: names it is recognised by, lower-case letters and digits alone, the preferred first.
        position: where it stands in a file without a header, from 1.
        asked: its name or its number from 1, given by the user; '' to recognise it.
        required: whether a table without it is refused.
    """

    role: str
    names: tuple[str, ...]
    position: int
    asked: str = ""
    required: bool = True

    @property
    def parameter(self) -> str:
        return f"{self.role}_column"


@dataclass(frozen=True)
class Block:
    """Some rows of a table.

    Attributes:
        path: the file.
        columns: a pyarrow array for each role that the table has; strings if the file is text.
        names: the name, or number, of those columns in the file.
        rows: how many.
        row_number: from the index of a row in this block to its number in the file, as an editor shows it.
    """

    path: Path
    columns: Mapping[str, Any]
    names: Mapping[str, str]
    rows: int
    row_number: Callable[[int], int]

    def fault(self, role: str, index: int, reason: str) -> InputError:
        """An error that names file, row and column."""
        return InputError(f"{self.path}: row {self.row_number(index)}, column '{self.names[role]}': {reason}")


def find_columns(path: Path, header: Sequence[str] | None, count: int, columns: Sequence[Column]) -> dict[str, int]:
    """The index of each role's column among ``count``; without a header by number or position."""
    found: dict[str, int] = {}
    for column in columns:
        if header is None:
            number = int(column.asked) if column.asked.isdigit() else column.position
            if column.asked and not column.asked.isdigit():
                raise InputError(
                    f"{path}: {column.parameter} is '{column.asked}', but the file has no header; "
                    f"give the column's number, 1 to {count}"
                )
            if 1 <= number <= count:
                found[column.role] = number - 1
            elif column.asked or column.required:
                raise InputError(f"{path}: {column.parameter} is {number}, but the columns are 1 to {count}")
            continue
        if column.asked:
            index = header.index(column.asked) if column.asked in header else None
        else:
            plain = [plain_name(name) for name in header]
            index = next((plain.index(name) for name in column.names if name in plain), None)
        if index is not None:
            found[column.role] = index
        elif column.asked:
            raise InputError(f"{path}: no column '{column.asked}' ({column.parameter}); it has {_listed(header)}")
        elif column.required:
            raise InputError(
                f"{path}: which column is the {column.role}? It has {_listed(header)}; "
                f"name one with {column.parameter}, or give a number if the file has no header"
            )
    for index in found.values():
        shared = [role for role, place in found.items() if place == index]
        if len(shared) > 1:
            name = header[index] if header else index + 1
            raise InputError(f"{path}: column '{name}' cannot be {' and '.join(shared)} at once; name another for one")
    return found


def plain_name(name: str) -> str:
    """A column's name as recognised: ``User_ID`` as ``userid``."""
    return "".join(filter(str.isalnum, name.lower()))


def _listed(header: Sequence[str]) -> str:
    names = ", ".join(f"'{name}'" for name in header[:20])
    return f"{names} and {len(header) - 20} more" if len(header) > 20 else names
