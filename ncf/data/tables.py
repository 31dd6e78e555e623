"""Tables, read as blocks of rows: delimited text, plain or compressed, or parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

from ncf.data.columns import Block, Column, Kind, find_columns
from ncf.data.decoding import COMPRESSIONS, first_bytes, first_line_of
from ncf.data.text import text_blocks
from ncf.errors import InputError

PARQUET_SUFFIXES = (".parquet", ".pq")
TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".rating", ".negative", ".item", "")
_ROWS_PER_BLOCK = 1 << 20
_SAMPLED_ROWS = 200
_ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
_PARQUET_MAGIC = b"PAR1"


def stem_and_suffix(path: Path) -> tuple[str, str]:
    """Name without suffixes and suffix of the format: ``("ratings", ".csv")`` of ``ratings.csv.gz``."""
    inner = Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path
    return inner.stem, inner.suffix.lower()


def is_table(path: Path) -> bool:
    """Whether the suffix of a file is that of a table."""
    suffix = stem_and_suffix(path)[1]
    compressed = path.suffix.lower() in COMPRESSIONS
    return suffix in TEXT_SUFFIXES or (suffix in PARQUET_SUFFIXES and not compressed)


def read_blocks(
    path: Path, columns: Sequence[Column], separator: str = "auto", may_be_latin: bool = False
) -> Iterator[Block]:
    """Read columns of a table, block by block. A parquet file is known by its first bytes, whatever its name.

    Args:
        path: of the file.
        columns: to read.
        separator: ``auto``, or a key of :data:`ncf.data.layout.SEPARATORS`.
        may_be_latin: whether text that is not UTF-8 is read as Windows-1252 or ISO 8859-1.

    Raises:
        InputError: if the file cannot be read, has no required column, has a row with another number of fields, or
            is not UTF-8.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    is_parquet = first_bytes(path).startswith(_PARQUET_MAGIC)
    if not is_parquet and not is_table(path):
        accepted = ", ".join([suffix for suffix in TEXT_SUFFIXES if suffix] + list(PARQUET_SUFFIXES))
        advice = "unpack it: " if path.suffix.lower() in _ARCHIVES else ""
        raise InputError(
            f"{path}: file type '{path.suffix}' is not supported; {advice}expected one of {accepted}, "
            f"text also compressed as {', '.join(COMPRESSIONS)}"
        )
    if is_parquet or stem_and_suffix(path)[1] in PARQUET_SUFFIXES:
        yield from _parquet_blocks(path, columns)
    else:
        yield from text_blocks(path, columns, separator, may_be_latin)


def _parquet_blocks(path: Path, columns: Sequence[Column]) -> Iterator[Block]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            header = list(file.schema_arrow.names)
            kinds = [_kind(field.type) for field in file.schema_arrow]
            found = find_columns(path, header, len(header), columns, kinds)
            names = {role: header[index] for role, index in found.items()}
            position = {role: header[:index].count(header[index]) for role, index in found.items()}  # among equal names
            unused = partial(_first_values, file, [i for i in range(len(header)) if i not in found.values()])
            before = 0
            for batch in file.iter_batches(_ROWS_PER_BLOCK, columns=list(names.values())):
                arrays = {role: _column(batch, name, position[role]) for role, name in names.items()}
                yield Block(path, arrays, names, batch.num_rows, partial(add, before + 1), unused)
                before += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable parquet file: {first_line_of(error)}") from None


def _first_values(file: Any, indices: Sequence[int]) -> dict[str, list[str]]:
    """First values, as texts, of columns of a parquet file with texts or whole numbers."""
    import pyarrow as pa

    schema = file.schema_arrow
    names = []
    for name, kind in ((schema.names[position], schema.types[position]) for position in indices):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        is_plain = (
            pa.types.is_integer(kind) or pa.types.is_large_string(kind) or kind in (pa.string(), pa.string_view())
        )
        if is_plain and schema.names.count(name) == 1:
            names.append(name)
    try:
        first = next(file.iter_batches(_SAMPLED_ROWS, columns=names), None) if names else None
    except (pa.ArrowException, OSError):  # a damaged column that nobody reads is no fault
        first = None
    columns = [] if first is None else zip(first.schema.names, first.columns, strict=True)
    return {name: ["" if value is None else str(value) for value in column.to_pylist()] for name, column in columns}


def _column(batch: Any, name: str, position: int) -> Any:
    """Column of a pyarrow batch: the one at ``position``, from 0, among those of that name. Texts have one type."""
    import pyarrow as pa

    column = batch.column([index for index, other in enumerate(batch.schema.names) if other == name][position])
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return column.cast(pa.string() if pa.types.is_large_string(kind) or kind == pa.string_view() else kind)


def _kind(kind: Any) -> Kind:
    """Kind of a column by its type."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "text"
