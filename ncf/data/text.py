"""Delimited text, read as blocks of rows: cut at row ends and parsed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ncf.data.columns import Block, Column, find_columns
from ncf.data.decoding import first_line_of, text_chunks
from ncf.data.layout import csv_rows, layout_of
from ncf.errors import InputError

_BYTES_PER_BLOCK = 32 << 20
_BYTES_PER_CHUNK = 4 << 20  # of a thread of pyarrow
_BYTES_PER_STEP = 1 << 20  # of the search for a row end
_MAX_FIRST_ROW = 1 << 20
_UNIT_SEPARATOR = "\x1f"  # in place of '::', as separators of pyarrow have one character


def text_blocks(path: Path, columns: Sequence[Column], separator: str, may_be_latin: bool = False) -> Iterator[Block]:
    """Blocks of a text file; see :func:`ncf.data.tables.read_blocks`."""
    chunks = text_chunks(path, _BYTES_PER_BLOCK, may_be_latin)
    start = next(chunks, b"")
    blank = len(start) - len(start.lstrip(b"\r\n"))
    first, _, _ = start[blank:].partition(b"\n")
    if not first.strip():
        return
    if len(first) > _MAX_FIRST_ROW:
        raise InputError(f"{path}: the first row is longer than {_MAX_FIRST_ROW >> 20} MiB; expected a row a line")
    try:
        first.decode()
    except UnicodeDecodeError:
        raise _not_utf8(path, 1) from None
    layout = layout_of(path, start[blank:], separator, columns)
    header, fields = layout.header, layout.fields
    found = find_columns(path, header, len(fields), columns, layout.kinds)
    names = {role: fields[index] if header else str(index + 1) for role, index in found.items()}

    def unused() -> dict[str, list[str]]:
        others = [index for index in range(len(fields)) if index not in found.values()]
        return {fields[i] if header else str(i + 1): [row[i] for row in layout.rows] for i in others}

    line = 1
    if header is not None:
        line += start[: blank + len(first) + 1].count(b"\n")
        start = start[blank + len(first) + 1 :]
    for data in _whole_lines(path, chunks, start, layout.quotes):
        parser = _Parser(path, data, line, layout.delimiter, '"' if layout.quotes else None, len(fields))
        table = parser.parse(found)
        if table.num_rows:
            arrays = {role: table.column(str(index)).combine_chunks() for role, index in found.items()}
            yield Block(path, arrays, names, table.num_rows, parser.row_number, unused)
        line += data.count(b"\n")


def _whole_lines(path: Path, chunks: Iterator[bytes], rest: bytes, quoted: bool) -> Iterator[bytes]:
    """Bytes of ``rest`` and ``chunks``, in pieces that end at the end of a row."""
    block = rest
    while block:
        if len(block) > 2 * _BYTES_PER_BLOCK:
            raise InputError(f"{path}: a row longer than {_BYTES_PER_BLOCK >> 20} MiB; is a quotation mark unbalanced?")
        if not (following := next(chunks, b"")):
            yield block
            return
        cut = _row_end(block, quoted)
        if cut:
            yield block[:cut]
        block = block[cut:] + following


def _row_end(block: bytes, quoted: bool) -> int:
    """End of the last whole row: behind a line end outside quotation marks."""
    cut = block.rfind(b"\n") + 1
    inside = quoted and block.count(b'"', 0, cut) % 2 == 1
    return _last_outside(block, cut) if inside else cut


def _last_outside(block: bytes, end: int) -> int:
    """End of the last line before ``end`` outside quotation marks, of which there is an odd number; 0 if none is."""
    inside = True
    while end:
        start = max(0, end - _BYTES_PER_STEP)
        backwards = np.frombuffer(block, np.uint8, end - start, start)[::-1]
        states = np.logical_xor.accumulate(np.append(inside, backwards == ord('"')))[1:]
        found = np.flatnonzero(~states & (backwards == ord("\n")))
        if len(found):
            return end - int(found[0])
        end, inside = start, bool(states[-1])
    return 0


@dataclass(frozen=True)
class _Parser:
    """Parser of a piece of a text file. It finds the row of an error."""

    path: Path
    data: bytes
    first_line: int
    delimiter: str
    quotes: str | None
    fields: int

    def parse(self, found: Mapping[str, int]) -> Any:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        data, delimiter = self.data, self.delimiter
        if len(delimiter) > 1:
            data, delimiter = data.replace(delimiter.encode(), _UNIT_SEPARATOR.encode()), _UNIT_SEPARATOR
        wanted = [str(index) for index in found.values()]
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(data),
                arrow_csv.ReadOptions(
                    column_names=[str(index) for index in range(self.fields)], block_size=_BYTES_PER_CHUNK
                ),
                arrow_csv.ParseOptions(
                    delimiter=delimiter,
                    quote_char=self.quotes or False,
                    newlines_in_values=bool(self.quotes) and b'"' in data,
                ),
                arrow_csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowException as error:
            raise self._explained(error) from None

    def row_number(self, index: int) -> int:
        """Line of the file at which the row with this index ends."""
        return next(islice((line for line, fields in self._rows() if fields), index, None))

    def _explained(self, error: Exception) -> InputError:
        try:
            self.data.decode()
        except UnicodeDecodeError as fault:
            return _not_utf8(self.path, self.first_line + self.data.count(b"\n", 0, fault.start))
        before = self.first_line - 1
        for line, fields in self._rows():
            if fields and len(fields) != self.fields:
                quoted = line - before > 1 and self.quotes
                hint = f"; it begins in row {before + 1}: is a quotation mark unbalanced there?" if quoted else ""
                return InputError(
                    f"{self.path}: row {line}: {len(fields)} fields separated by {self.delimiter!r}; "
                    f"the first row has {self.fields}{hint}"
                )
            before = line
        return InputError(f"{self.path}: {first_line_of(error)}")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each row. It is slow and for messages only."""
        text = self.data.decode(errors="replace")
        if self.quotes is None:
            lines = enumerate(text.removesuffix("\n").split("\n"), self.first_line)
            yield from ((number, line.split(self.delimiter) if line.rstrip("\r") else []) for number, line in lines)
            return
        for number, fields in csv_rows(io.StringIO(text, newline=""), self.delimiter):
            yield self.first_line + number - 1, fields


def _not_utf8(path: Path, row: int) -> InputError:
    return InputError(f"{path}: row {row} is not UTF-8; convert the file, for example: iconv -f latin1 -t utf-8")
