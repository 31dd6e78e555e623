"""A model folder out of a ``model.tar.gz`` that may have been made to do harm."""

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

SUFFIXES = (".tar.gz", ".tgz")
_MAX_MEMBERS = 1000
_MAX_HEADER_BYTES = 8 << 20  # of all members: more than the most members with the longest names have
_MAX_PADDING_BYTES = 1 << 20
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
# what tarfile lets through of a header that makes no sense, beside its own errors
_NONSENSE = (ValueError, ArithmeticError, LookupError, TypeError, RecursionError)


@contextmanager
def unpacked(location: Path) -> Iterator[Path]:
    """The folder itself, or one that holds what an archive does, for the time of the block; mapped files outlive it.

    Raises:
        InputError: as :func:`unpack` does.
    """
    if not location.name.endswith(SUFFIXES) or location.is_dir():
        yield location
        return
    with tempfile.TemporaryDirectory(prefix="ncf-") as temporary:
        folder = Path(temporary) / "model"
        unpack(location, folder)
        yield folder


def unpack(archive: Path, folder: Path, name: str = "") -> None:
    """Write the files of an archive to ``folder``, which is made: plain files and folders inside of it, nothing else.

    Owners, modes and times are not taken from the archive.

    Args:
        archive: compressed by gzip, bzip2 or xz, or not at all.
        folder: that is not there yet.
        name: of the archive in messages, where it is another than its place.

    Raises:
        InputError: that names the member at fault: a link, a device, a path out of the folder, too many members, too
            large headers, or more bytes than the disk has room for.
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
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, *_NONSENSE) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{name}: cannot be unpacked: {reason}; expected a tar archive of a model's folder") from None


def _decompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as stream:
        start = stream.read(max(map(len, _OPENERS)))
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), Path.open)
    return cast("IO[bytes]", opener(archive, "rb"))


class _BoundedHeaders:
    """A stream of which headers may take so many bytes and no more.

    ``tarfile`` reads long names and extended headers into memory as a whole, be they gigabytes, before it hands out
    the member that they belong to; or all that is left of the stream, where they say that they have less than none.
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
        """Within the block a file's content is read, which is written in small pieces."""
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
        raise InputError(f"{name}: {_shown(member)} is said to have {member.size} bytes")
    if member.issparse() or not (member.isreg() or member.isdir()):
        kinds = {tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link", tarfile.FIFOTYPE: "pipe"}
        other = "sparse file" if member.issparse() else "device" if member.isdev() else "member of an unknown type"
        kind = kinds.get(member.type, other)
        raise InputError(f"{name}: {_shown(member)} is a {kind}; expected plain files")


def _check_end(stream: IO[bytes], place: int) -> None:
    """See to it that the archive ends where ``tarfile`` has found no more members: it takes a damaged header for that.

    What is compressed is read to its end, where its checksum stands.
    """
    stream.seek(place)
    rest = stream.read(_MAX_PADDING_BYTES + 1)
    if any(rest[: tarfile.BLOCKSIZE]):
        raise tarfile.ReadError(f"the header at byte {place} is damaged")
    if len(rest) > _MAX_PADDING_BYTES:
        raise tarfile.ReadError(f"more than {_MAX_PADDING_BYTES} bytes come after its end")


def _shown(member: tarfile.TarInfo) -> str:
    return repr(member.name[:200])
