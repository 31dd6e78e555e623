"""Tables, read as blocks of rows: delimited text, plain or compressed, or parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from operator import add
from pathlib import Path

from ncf.data.columns import Block, Column, find_columns
from ncf.data.text import COMPRESSIONS, first_line_of, text_blocks
from ncf.errors import InputError

PARQUET_SUFFIXES = (".parquet", ".pq")
TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".rating", ".negative", "")
_ROWS_PER_BLOCK = 1 << 20


def stem_and_suffix(path: Path) -> tuple[str, str]:
    """Name without suffixes and suffix of the format: ``("ratings", ".csv")`` of ``ratings.csv.gz``."""
    inner = Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path
    return inner.stem, inner.suffix.lower()


def is_table(path: Path) -> bool:
    """Whether the suffix of a file is that of a table."""
    suffix = stem_and_suffix(path)[1]
    compressed = path.suffix.lower() in COMPRESSIONS
    return suffix in TEXT_SUFFIXES or (suffix in PARQUET_SUFFIXES and not compressed)


def read_blocks(path: Path, columns: Sequence[Column], separator: str = "auto") -> Iterator[Block]:
    """Read columns of a table, block by block.

    The first row of a text file is a header if it has the given name of a column. It is not a header if a column is
    given by number, or if one of its fields is a number.

    Args:
        path: of the file.
        columns: to read.
        separator: ``auto``, or a key of :data:`ncf.data.text.SEPARATORS`.

    Raises:
        InputError: if the file cannot be read, has no required column, has a row with another number of fields, or
            is not UTF-8.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not is_table(path):
        accepted = ", ".join([suffix for suffix in TEXT_SUFFIXES if suffix] + list(PARQUET_SUFFIXES))
        raise InputError(
            f"{path}: file type '{path.suffix}' is not supported; expected one of {accepted}, "
            f"text also compressed as {', '.join(COMPRESSIONS)}"
        )
    if stem_and_suffix(path)[1] in PARQUET_SUFFIXES:
        yield from _parquet_blocks(path, columns)
    else:
        yield from text_blocks(path, columns, separator)


def _parquet_blocks(path: Path, columns: Sequence[Column]) -> Iterator[Block]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            header = list(file.schema_arrow.names)
            found = find_columns(path, header, len(header), columns)
            names = {role: header[index] for role, index in found.items()}
            before = 0
            for batch in file.iter_batches(_ROWS_PER_BLOCK, columns=list(names.values())):
                arrays = {role: batch.column(name) for role, name in names.items()}
                yield Block(path, arrays, names, batch.num_rows, partial(add, before + 1))
                before += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable parquet file: {first_line_of(error)}") from None
