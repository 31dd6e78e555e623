"""xz data with a limit on the memory of the decoder.

The header of xz data names the size of a dictionary, 4 GiB at most. The lzma module's own files allocate it.
"""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import Any

MAX_MEMORY = 128 << 20
"""Bytes of the decoder. ``xz -9``, the largest preset, needs 65 MiB."""
_READ_BYTES = 1 << 16


def open_xz(path: Path, *_: Any) -> io.BufferedReader:
    """Open an xz file for reading.

    Raises:
        lzma.LZMAError: while reading, if the data are damaged or need more than ``MAX_MEMORY``.
        EOFError: while reading, if the data are truncated.
    """
    return io.BufferedReader(_XzFile(path))


class _XzFile(io.RawIOBase):
    """Decompressed bytes of one or several xz streams. Seeking reads the bytes in between."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rewind()

    def _rewind(self) -> None:
        self._file.seek(0)
        self._position = 0
        self._rest = b""
        self._decoder = self._new_decoder()

    @staticmethod
    def _new_decoder() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the size of the decompressed data is not known")
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if target < self._position:
            self._rewind()
        while self._position < target and self.read(min(_READ_BYTES, target - self._position)):
            pass
        return self._position

    def readinto(self, buffer: Any) -> int:
        content = self._next(len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def _next(self, size: int) -> bytes:
        """Up to ``size`` bytes, b'' only at the end of the data."""
        while True:
            if self._decoder.eof and not self._next_stream():
                return b""
            given = b""
            if self._decoder.needs_input and not (given := self._rest or self._file.read(_READ_BYTES)):
                raise EOFError("compressed data ended before the end of the stream")
            self._rest = b"" if given else self._rest
            if content := self._decoder.decompress(given, size):
                return content

    def _next_stream(self) -> bool:
        """Begin a further stream, if one follows. Streams may be padded with zeros."""
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest and (block := self._file.read(_READ_BYTES)):
            rest = block.lstrip(b"\0")
        self._rest, self._decoder = rest, self._new_decoder() if rest else self._decoder
        return bool(rest)

    def close(self) -> None:
        self._file.close()
        super().close()
