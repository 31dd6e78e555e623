"""Bytes of text files: decompressed, in UTF-8, with line feeds at the ends of lines."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from ncf.errors import InputError
from ncf.xz import open_xz

COMPRESSIONS: Mapping[str, str] = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".xz": "xz"}
_MAGIC: Mapping[bytes, str] = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz"}
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS: Mapping[bytes, str] = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""Byte order mark -> encoding. The first that matches counts."""
_ARCHIVES: Mapping[bytes, str] = {
    b"PK\x03\x04": "a zip archive or a workbook", b"\xd0\xcf\x11\xe0": "an old workbook",
    b"PAR1": "compressed parquet", b"ORC": "an ORC file", b"Obj\x01": "an Avro file",
    **{magic: f"{kind} data within compressed data" for magic, kind in _MAGIC.items()},
}  # fmt: skip
"""First bytes of content that is no text, and what it is."""
_TAR_MAGIC = slice(257, 262), b"ustar"
_SNIFFED_BYTES = 1000
_SINGLE_BYTE: Mapping[str, str] = {"cp1252": "latin-1 (Windows-1252)", "latin-1": "latin-1 (ISO 8859-1)"}
"""Encodings of titles that are not UTF-8, and their names in messages. The last one reads any byte."""
_log = logging.getLogger(__name__)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Stream of the decompressed bytes of a file. The first bytes tell the compression, else the suffix does.

    Raises:
        InputError: if the file cannot be read or is damaged.
    """
    import lzma
    import zlib

    import pyarrow as pa

    compression = COMPRESSIONS.get(path.suffix.lower())
    known = ""
    try:
        first = first_bytes(path)
        known = next((kind for magic, kind in _MAGIC.items() if first.startswith(magic)), "")
        compression = known or compression
        if compression == "xz":
            with open_xz(path) as stream:
                yield stream
        else:
            with pa.input_stream(str(path), compression=compression) as stream:
                yield stream
    except (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException) as error:
        what = f"damaged or truncated {compression} data" if compression else "cannot be read"
        hint = f"; if it is not compressed, leave out the ending {path.suffix}" if compression and not known else ""
        raise InputError(f"{path}: {what} ({first_line_of(error)}){hint}") from None


def first_bytes(path: Path, count: int = 8) -> bytes:
    """First bytes of a file as it is."""
    with path.open("rb") as stream:
        return stream.read(count)


def text_chunks(path: Path, size: int, may_be_latin: bool = False) -> Iterator[bytes]:
    """Content of a text file in UTF-8 without a byte order mark, in pieces of about ``size`` bytes.

    UTF-16 and UTF-32 with a byte order mark are converted. Carriage returns become line feeds if these are the
    only line ends.

    Args:
        path: of the file.
        size: of the pieces.
        may_be_latin: whether a file that is not UTF-8 is read as Windows-1252 or ISO 8859-1, which is logged.

    Raises:
        InputError: if the file cannot be read, is damaged or no text, or looks like UTF-16 without a byte order mark.
    """
    with _opened(path) as stream:
        pieces = iter(lambda: stream.read(size), b"")
        start = next(pieces, b"")
        if wide := next((name for mark, name in _WIDE_BOMS.items() if start.startswith(mark)), ""):
            pieces = _decoded(path, chain([start], pieces), wide)
            start = next(pieces, b"")
        elif found := _archive(start):
            raise InputError(f"{path}: is {found}; expected text, such as CSV, or parquet; unpack or convert the file")
        elif b"\0" in start[:_SNIFFED_BYTES]:
            raise InputError(f"{path}: looks like UTF-16; convert the file, for example: iconv -f utf-16 -t utf-8")
        elif may_be_latin and (encoding := _single_byte(path, size)):
            _log.warning("%s is not UTF-8 and is read as %s", path.name, _SINGLE_BYTE[encoding])
            pieces = _decoded(path, chain([start], pieces), encoding)
            start = next(pieces, b"")
        start = start.removeprefix(_BOM)
        returns = b"\n" not in start and b"\r" in start
        for piece in chain([start], pieces):
            yield piece.replace(b"\r", b"\n") if returns else piece


def _archive(start: bytes) -> str:
    """What content is that is no text, by its first bytes; '' for others."""
    place, magic = _TAR_MAGIC
    if start[place] == magic:
        return "a tar archive"
    return next((what for first, what in _ARCHIVES.items() if start.startswith(first)), "")


def _decoded(path: Path, pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise InputError(f"{path}: damaged {encoding} text ({first_line_of(error)})") from None


def _single_byte(path: Path, size: int) -> str:
    """Encoding of a file that is not UTF-8: the first one that reads it; '' for UTF-8."""
    for encoding in ("utf-8", *_SINGLE_BYTE):
        decoder = codecs.getincrementaldecoder(encoding)()
        with _opened(path) as stream:
            try:
                while piece := stream.read(size):
                    decoder.decode(piece)
                decoder.decode(b"", final=True)
            except UnicodeError:
                continue
        return "" if encoding == "utf-8" else encoding
    raise AssertionError("the last encoding reads any byte")


def first_line_of(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
