"""Tables as blocks of rows: text with a separator, or parquet; plain or compressed; never a whole file at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ncf.errors import InputError

Separator = Literal["auto", "comma", "tab", "double_colon", "semicolon", "pipe"]
SEPARATORS: Mapping[str, str] = {
    "double_colon": "::",
    "tab": "\t",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
}
COMPRESSIONS: Mapping[str, str] = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".xz": "xz"}
PARQUET_SUFFIXES = (".parquet", ".pq")
TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".rating", ".negative", "")
_BYTES_A_BLOCK = 32 << 20
_BYTES_A_CHUNK = 4 << 20  # what each of pyarrow's threads parses at a time
_ROWS_A_BLOCK = 1 << 20
_UNIT_SEPARATOR = "\x1f"  # stands for '::', since pyarrow takes separators of one character
_BOM = b"\xef\xbb\xbf"


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


def stem_and_suffix(path: Path) -> tuple[str, str]:
    """The name without suffixes, and the suffix of the format: ``ratings.csv.gz`` as ``("ratings", ".csv")``."""
    inner = Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path
    return inner.stem, inner.suffix.lower()


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table this module reads."""
    suffix = stem_and_suffix(path)[1]
    compressed = path.suffix.lower() in COMPRESSIONS
    return suffix in TEXT_SUFFIXES or (suffix in PARQUET_SUFFIXES and not compressed)


def read_blocks(path: Path, columns: Sequence[Column], separator: str = "auto") -> Iterator[Block]:
    """Read the ``columns`` of a table block by block.

    Of a text file the first row is a header if it holds a name that is asked for; it is none if a column is asked
    for by number or one of its fields is a number.

    Raises:
        InputError: if the file cannot be read, lacks a required column, has a row of another number of fields,
            or is not UTF-8.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not is_table(path):
        accepted = ", ".join([suffix for suffix in TEXT_SUFFIXES if suffix] + list(PARQUET_SUFFIXES))
        raise InputError(
            f"{path}: not a kind of file that is read here; expected one of {accepted}, "
            f"text also compressed as {', '.join(COMPRESSIONS)}"
        )
    if stem_and_suffix(path)[1] in PARQUET_SUFFIXES:
        yield from _parquet_blocks(path, columns)
    else:
        yield from _text_blocks(path, columns, separator)


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
    if len(set(found.values())) < len(found):
        raise InputError(f"{path}: one column cannot be two things: {', '.join(sorted(found))}")
    return found


def plain_name(name: str) -> str:
    """A column's name as recognised: ``User_ID`` as ``userid``."""
    return "".join(filter(str.isalnum, name.lower()))


def _listed(header: Sequence[str]) -> str:
    names = ", ".join(f"'{name}'" for name in header[:20])
    return f"{names} and {len(header) - 20} more" if len(header) > 20 else names


def _parquet_blocks(path: Path, columns: Sequence[Column]) -> Iterator[Block]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            header = list(file.schema_arrow.names)
            found = find_columns(path, header, len(header), columns)
            names = {role: header[index] for role, index in found.items()}
            before = 0
            for batch in file.iter_batches(_ROWS_A_BLOCK, columns=list(names.values())):
                arrays = {role: batch.column(name) for role, name in names.items()}
                yield Block(path, arrays, names, batch.num_rows, lambda index, before=before: before + index + 1)  # type: ignore[misc]
                before += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable parquet file: {_first_line(error)}") from None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The decompressed bytes of a file as a stream; what is damaged becomes an error that names the file."""
    import lzma
    import zlib

    import pyarrow as pa

    compression = COMPRESSIONS.get(path.suffix.lower())
    try:
        if compression == "xz":
            with lzma.open(path) as stream:
                yield stream
        else:
            with pa.input_stream(str(path), compression=compression) as stream:
                yield stream
    except (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException) as error:
        what = f"damaged or cut short; it is not whole {compression} data" if compression else "cannot be read"
        raise InputError(f"{path}: {what} ({_first_line(error)})") from None


def _text_blocks(path: Path, columns: Sequence[Column], separator: str) -> Iterator[Block]:
    with _opened(path) as stream:
        start = stream.read(_BYTES_A_BLOCK).removeprefix(_BOM)
        blank = len(start) - len(start.lstrip(b"\r\n"))
        first, _, _ = start[blank:].partition(b"\n")
        if not first.strip():
            return
        try:
            text = first.decode().rstrip("\r")
        except UnicodeDecodeError:
            raise _not_utf8(path, 1) from None
        delimiter = _sniff(text) if separator == "auto" else SEPARATORS[separator]
        fields = _split(text, delimiter)
        header = fields if _has_header(fields, columns) else None
        found = find_columns(path, header, len(fields), columns)
        names = {role: fields[index] if header else str(index + 1) for role, index in found.items()}
        line = 1
        if header is not None:
            line += start[: blank + len(first) + 1].count(b"\n")
            start = start[blank + len(first) + 1 :]
        quotes = '"' if delimiter in (",", ";", "|") else None
        for data in _whole_lines(path, stream, start, quotes is not None):
            parser = _Parser(path, data, line, delimiter, quotes, len(fields))
            table = parser.parse(found)
            if table.num_rows:
                arrays = {role: table.column(str(index)).combine_chunks() for role, index in found.items()}
                yield Block(path, arrays, names, table.num_rows, parser.row_number)
            line += data.count(b"\n")


def _sniff(line: str) -> str:
    """The separator of a line: '::' if it occurs, else whichever occurs most."""
    if SEPARATORS["double_colon"] in line:
        return SEPARATORS["double_colon"]
    return max((sign for sign in SEPARATORS.values()), key=line.count)


def _split(line: str, delimiter: str) -> list[str]:
    if len(delimiter) > 1 or delimiter == "\t":
        return [field.strip() for field in line.split(delimiter)]
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter))]


def _has_header(fields: Sequence[str], columns: Sequence[Column]) -> bool:
    if any(column.asked.isdigit() for column in columns):
        return False
    named = any(column.asked and column.asked in fields for column in columns)
    return named or not any(_is_number(field) for field in fields)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _whole_lines(path: Path, stream: Any, rest: bytes, quoted: bool) -> Iterator[bytes]:
    """The bytes ``rest`` and those of ``stream`` in pieces that end where a row ends."""
    block = rest
    while block:
        if len(block) > 2 * _BYTES_A_BLOCK:
            raise InputError(f"{path}: a row longer than {_BYTES_A_BLOCK >> 20} MiB; is a quotation mark unbalanced?")
        following = stream.read(_BYTES_A_BLOCK)
        if not following:
            yield block
            return
        cut = _row_end(block, quoted)
        if cut:
            yield block[:cut]
        block = block[cut:] + following


def _row_end(block: bytes, quoted: bool) -> int:
    """Where the last whole row ends: behind a line end that stands outside quotation marks."""
    cut = block.rfind(b"\n") + 1
    marks = block.count(b'"', 0, cut) if quoted else 0
    while cut and marks % 2:
        previous = block.rfind(b"\n", 0, cut - 1) + 1
        marks -= block.count(b'"', previous, cut)
        cut = previous
    return cut


@dataclass(frozen=True)
class _Parser:
    """Parses one piece of a text file, and on a fault finds the row."""

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
                    column_names=[str(index) for index in range(self.fields)], block_size=_BYTES_A_CHUNK
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
        """The line in the file at which the row of this index ends."""
        rows = (line for line, fields in self._rows() if fields)
        return next(line for place, line in enumerate(rows) if place == index)

    def _explained(self, error: Exception) -> InputError:
        try:
            self.data.decode()
        except UnicodeDecodeError as fault:
            return _not_utf8(self.path, self.first_line + self.data.count(b"\n", 0, fault.start))
        for line, fields in self._rows():
            if fields and len(fields) != self.fields:
                return InputError(
                    f"{self.path}: row {line}: {len(fields)} fields separated by {self.delimiter!r}; "
                    f"the first row has {self.fields}"
                )
        return InputError(f"{self.path}: {_first_line(error)}")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each row, slowly: for messages."""
        text = self.data.decode(errors="replace")
        if self.quotes is None:
            lines = enumerate(text.removesuffix("\n").split("\n"), self.first_line)
            yield from ((number, line.split(self.delimiter) if line.rstrip("\r") else []) for number, line in lines)
            return
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter)
        yield from ((self.first_line + reader.line_num - 1, fields) for fields in reader)


def _not_utf8(path: Path, row: int) -> InputError:
    return InputError(f"{path}: row {row} is not UTF-8; convert the file, for example: iconv -f latin1 -t utf-8")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
