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
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
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
    try:
        first = first_bytes(path)
        compression = next((kind for magic, kind in _MAGIC.items() if first.startswith(magic)), compression)
        if compression == "xz":
            with open_xz(path) as stream:
                yield stream
        else:
            with pa.input_stream(str(path), compression=compression) as stream:
                yield stream
    except (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException) as error:
        what = f"damaged or truncated {compression} data" if compression else "cannot be read"
        raise InputError(f"{path}: {what} ({first_line_of(error)})") from None


def first_bytes(path: Path, count: int = 8) -> bytes:
    """First bytes of a file as it is."""
    with path.open("rb") as stream:
        return stream.read(count)


def text_chunks(path: Path, size: int, may_be_latin: bool = False) -> Iterator[bytes]:
    """Content of a text file in UTF-8 without a byte order mark, in pieces of about ``size`` bytes.

    UTF-16 with a byte order mark is converted. Carriage returns become line feeds if these are the only line ends.

    Args:
        path: of the file.
        size: of the pieces.
        may_be_latin: whether a file that is not UTF-8 is read as Windows-1252 or ISO 8859-1, which is logged.

    Raises:
        InputError: if the file cannot be read, is damaged, or looks like UTF-16 without a byte order mark.
    """
    with _opened(path) as stream:
        pieces = iter(lambda: stream.read(size), b"")
        start = next(pieces, b"")
        if start.startswith(_UTF16_BOMS):
            pieces = _decoded(path, chain([start], pieces), "utf-16")
            start = next(pieces, b"")
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
