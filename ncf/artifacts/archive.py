"""Extraction of a model folder from an untrusted ``model.tar.gz``.

The ``data`` filter of ``tarfile`` guards paths and modes. The checks here add what it accepts or does not know: links
inside the folder, sparse files, negative sizes, bounds of members, headers and disk space, a damaged end.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from ncf.errors import InputError
from ncf.xz import open_xz

SUFFIXES = (".tar.gz", ".tgz")
_MAX_MEMBERS = 1000
_MAX_HEADER_BYTES = 8 << 20  # of all members; _MAX_MEMBERS with the longest names have fewer
_MAX_PADDING_BYTES = 1 << 20
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": open_xz}
# raised by tarfile for malformed headers, beside its own errors
_MALFORMED = (ValueError, ArithmeticError, LookupError, TypeError, RecursionError)


@contextmanager
def unpacked(location: Path) -> Iterator[Path]:
    """Folder of a model: ``location`` itself, or a temporary folder with the content of an archive.

    The temporary folder is deleted at the end of the block. Memory-mapped files stay readable. The model's files are
    at the top of the archive, as SageMaker packs them, or in its only folder, as ``tar cf model.tar model`` does.

    Args:
        location: folder or archive. A file of any name is read as an archive.

    Raises:
        InputError: from :func:`unpack`.
    """
    if not location.is_file():
        yield location
        return
    with tempfile.TemporaryDirectory(prefix="ncf-") as temporary:
        folder = Path(temporary) / "model"
        unpack(location, folder)
        entries = list(folder.iterdir())
        yield entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def unpack(archive: Path, folder: Path, name: str = "") -> None:
    """Extract plain files and folders of an archive. Owners, modes and times of the archive are ignored.

    Args:
        archive: tar file, plain or compressed by gzip, bzip2 or xz.
        folder: to create and write to.
        name: of the archive in messages; '' for its path.

    Raises:
        InputError: with the member at fault: a link, a device, a path outside the folder, too many members, too large
            headers, or more bytes than are free on the disk.
    """
    name = name or str(archive)
    folder.mkdir()
    room, written = shutil.disk_usage(folder).free, 0
    try:
        with _decompressed(archive) as stream:
            bounded = _BoundedHeaders(stream)
            with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:") as tar:
                for number, member in enumerate(tar, 1):
                    if number > _MAX_MEMBERS:
                        raise InputError(f"{name}: has more than {_MAX_MEMBERS} members; a model has some twenty files")
                    _check(name, member)
                    written += member.size
                    if written > room:
                        raise InputError(
                            f"{name}: {_shown(member)} makes it {written} bytes unpacked; {room} are free on the disk"
                        )
                    with bounded.reading_content():
                        tar.extract(member, folder, set_attrs=False, filter="data")
                _check_end(stream, tar.offset)
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, *_MALFORMED) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{name}: cannot be unpacked: {reason}; expected a tar archive of a model folder") from None


def _decompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as stream:
        start = stream.read(max(map(len, _OPENERS)))
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), Path.open)
    return cast("IO[bytes]", opener(archive, "rb"))


class _BoundedHeaders:
    """Stream with a bound on the bytes of all headers.

    ``tarfile`` reads long names and extended headers into memory as a whole before it returns their member, even if
    they have gigabytes. With a negative size it reads the whole rest of the stream.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left, self._content = stream, _MAX_HEADER_BYTES, False
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, size: int) -> bytes:
        if not self._content:
            self._left -= size
            if size < 0 or self._left < 0:
                raise tarfile.ReadError(f"its headers have more than {_MAX_HEADER_BYTES} bytes")
        return self._stream.read(size)

    @contextmanager
    def reading_content(self) -> Iterator[None]:
        """Block in which the content of a file is read. It is not bounded, as it is copied in small pieces."""
        self._content = True
        try:
            yield
        finally:
            self._content = False


def _check(name: str, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{name}: member {_shown(member)} lies outside the folder")
    if member.size < 0:
        raise InputError(f"{name}: {_shown(member)} has size {member.size} in its header; expected 0 or more")
    if member.issparse() or not (member.isreg() or member.isdir()):
        kinds = {tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link", tarfile.FIFOTYPE: "pipe"}
        other = "sparse file" if member.issparse() else "device" if member.isdev() else "member of an unknown type"
        kind = kinds.get(member.type, other)
        raise InputError(f"{name}: {_shown(member)} is a {kind}; expected plain files")


def _check_end(stream: IO[bytes], offset: int) -> None:
    """Check that the archive ends at ``offset``: ``tarfile`` takes a damaged header for the end.

    Compressed data are read to their end, where their checksum is.
    """
    stream.seek(offset)
    padding = stream.read(_MAX_PADDING_BYTES + 1)
    if any(padding[: tarfile.BLOCKSIZE]):
        raise tarfile.ReadError(f"the header at byte {offset} is damaged")
    if len(padding) > _MAX_PADDING_BYTES:
        raise tarfile.ReadError(f"more than {_MAX_PADDING_BYTES} bytes come after its end")


def _shown(member: tarfile.TarInfo) -> str:
    return repr(member.name[:200])
