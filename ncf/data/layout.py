"""Layout of delimited text, as its first rows show it: separator, quotation marks, header, kinds of columns."""

from __future__ import annotations

import csv
import logging
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from ncf.data import dates, units
from ncf.data.columns import SHOWN_CHARACTERS, Column, Kind, plain_name
from ncf.errors import InputError

Separator = Literal["auto", "comma", "tab", "double_colon", "semicolon", "pipe", "space"]
SEPARATORS: Mapping[str, str] = {
    "double_colon": "::", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " ",
}  # fmt: skip
_SHOWN_FIELDS = 5
_QUOTE = '"'
_LINE_END = re.compile(r"\r\n|\r|\n")
_SNIFFED_ROWS = 200
_SNIFFED_BYTES = 1 << 17
_KNOWN_NAMES = 2  # fields of a row that are names of columns, from which the row is a header


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """Layout of a text file.

    Attributes:
        delimiter: separator of the columns.
        quotes: whether quotation marks enclose fields.
        fields: fields of the first row.
        header: fields of the first row if it is a header, else None.
        kinds: kind of each column, from the first rows behind the header.
        rows: these first rows.
    """

    delimiter: str
    quotes: bool
    fields: Sequence[str]
    header: Sequence[str] | None
    kinds: Sequence[Kind]
    rows: Sequence[Sequence[str]]


def layout_of(path: Path, start: bytes, separator: str, columns: Sequence[Column]) -> Layout:
    """Layout of the text that begins with ``start``.

    Args:
        path: of the file, for messages.
        start: of the text, without blank lines before the first row, which is UTF-8.
        separator: ``auto``, or a key of :data:`SEPARATORS`.
        columns: to read.

    Raises:
        InputError: if there is no separator in the first row.
    """
    lines = _LINE_END.split(start[:_SNIFFED_BYTES].decode(errors="replace"))
    lines = [line for line in islice(lines, _SNIFFED_ROWS) if line.strip()]
    delimiter = _sniffed(lines) if separator == "auto" else SEPARATORS[separator]
    if delimiter == " " and separator == "auto":
        _log.warning(
            "%s: no other separator in the first row, so spaces are taken to separate the columns; 'separator' sets it",
            path.name,
        )
    if delimiter not in lines[0] and sum(column.required for column in columns) > 1:
        named = "comma, tab, '::', semicolon, '|' or space" if separator == "auto" else separator
        raise InputError(
            f"{path}: the first row, {lines[0][:SHOWN_CHARACTERS]!r}, has no separator of columns; expected {named}; "
            "'separator' sets it"
        )
    quotes = delimiter in ",;|" if delimiter != "\t" else _is_quoted(lines)
    if quotes and (count := next(csv_rows(lines, delimiter))[0]) > 1:
        held = "holds a line break" if count < len(lines) else "has no end"
        raise InputError(
            f"{path}: the first row, {lines[0][:SHOWN_CHARACTERS]!r}, has a field in quotation marks that {held}; "
            "expected the first row on one line"
        )
    rows = [_split(line, delimiter, quotes) for line in lines]
    fields = rows[0]
    below = [row for row in rows[1:] if len(row) == len(fields)]
    is_header = _is_header(fields, below, columns)
    shown = below if is_header else [fields, *below]
    kinds = [kind_of([row[index] for row in shown]) for index in range(len(fields))]
    if not is_header and (set(kinds) == {"text"} or fields == [str(number) for number in range(len(fields))]):
        _log.warning(
            "%s: the first row, %s, is read as data; if it is a header, delete it or name its columns",
            path.name, ", ".join(f"'{field[:SHOWN_CHARACTERS]}'" for field in fields[:_SHOWN_FIELDS]),
        )  # fmt: skip
    return Layout(delimiter, quotes, fields, fields if is_header else None, kinds, shown)


def kind_of(values: Sequence[str]) -> Kind:
    """Kind of most of the values: 'time' for dates and numbers that are likely times, 'number', or 'text'."""
    values = [value for value in values if value]
    numbers = [number for value in values if (number := _number(value)) is not None]
    times = sum(units.size(number) % 2 for number in numbers)
    if 2 * len(numbers) > len(values):
        return "time" if 2 * times > len(values) else "number"
    return "time" if 2 * sum(map(_is_date, values)) > len(values) else "text"


def _sniffed(lines: Sequence[str]) -> str:
    """Separator of lines: '::' if it occurs in the first, else the most frequent one there; space if it is the only."""
    if SEPARATORS["double_colon"] in lines[0]:
        return SEPARATORS["double_colon"]
    signs = [sign for sign in SEPARATORS.values() if sign != " "]
    if any(sign in lines[0] for sign in signs):
        return max(signs, key=lines[0].count)
    same = {line.rstrip().count(" ") for line in lines[:-1] or lines}  # the last one may be cut
    return " " if len(same) == 1 and same != {0} else ","


def _split(line: str, delimiter: str, quotes: bool) -> list[str]:
    if not quotes:
        return [field.strip() for field in line.split(delimiter)]
    return [field.strip() for field in next(csv_rows([line], delimiter))[1]]


def csv_rows(lines: Iterable[str], delimiter: str, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Line number, from 1, and fields of each row. Quoted fields may be as long as a block."""
    reader = csv.reader(lines, delimiter=delimiter, strict=strict)
    while True:
        limit = csv.field_size_limit(sys.maxsize)  # of all readers of the process, so it is set for this row alone
        try:
            row = next(reader, None)
        finally:
            csv.field_size_limit(limit)
        if row is None:
            return
        yield reader.line_num, row


def _is_quoted(lines: Sequence[str]) -> bool:
    """Whether quotation marks enclose all texts of the first or second row of a TSV file, and are used right below."""
    rows = [[field.strip() for field in line.split("\t") if field.strip()] for line in lines[:2]]
    texts = [[field for field in row if _number(field) is None] for row in rows]
    if not any(row and all(map(_is_enclosed, row)) for row in texts):
        return False
    try:
        for _ in csv_rows(lines, "\t", strict=True):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)  # the last row may be cut
    return True


def _is_enclosed(field: str) -> bool:
    return len(field) > 1 and field.startswith(_QUOTE) and field.endswith(_QUOTE)


def _is_header(fields: Sequence[str], below: Sequence[Sequence[str]], columns: Sequence[Column]) -> bool:
    """Whether the first row is a header.

    It is one if it has the given name of a column or several usual names. Otherwise it has no number and no date, and
    if a column is given by its number, the rows below have some in a column.
    """
    if any(column.given and column.given in fields and not column.given.isdigit() for column in columns):
        return True
    usual = {name for column in columns for name in column.names}
    if sum(plain_name(field) in usual for field in fields) >= _KNOWN_NAMES:
        return True
    if any(_number(field) is not None or _is_date(field) for field in fields):
        return False
    if not any(column.given.isdigit() for column in columns):
        return True
    return any(kind_of([row[index] for row in below]) != "text" for index in range(len(fields)) if below)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(dates.plain(text))
    except ValueError:
        return False
    return len(text) > len("20200101")
