"""A model folder out of a ``model.tar.gz`` that may have been made to do harm."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ncf.errors import InputError

SUFFIXES = (".tar.gz", ".tgz")
_MAX_MEMBERS = 1000


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

    Args:
        archive: compressed by gzip, bzip2 or xz, or not at all.
        folder: that is not there yet.
        name: of the archive in messages, where it is another than its place.

    Raises:
        InputError: that names the member at fault: a link, a device, a path out of the folder, too many members or
            more bytes than the disk has room for.
    """
    name = name or str(archive)
    folder.mkdir()
    room, written = shutil.disk_usage(folder).free, 0
    try:
        with tarfile.open(archive) as tar:
            for number, member in enumerate(tar, 1):
                if number > _MAX_MEMBERS:
                    raise InputError(f"{name}: has more than {_MAX_MEMBERS} members; a model has some twenty files")
                _check(name, member)
                written += member.size
                if written > room:
                    raise InputError(
                        f"{name}: '{member.name}' makes it {written} bytes unpacked; {room} are free on the disk"
                    )
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{name}: cannot be unpacked: {error}; expected a tar archive of a model's folder") from None


def _check(name: str, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{name}: member '{member.name}' lies outside the folder")
    if not (member.isreg() or member.isdir()):
        kinds = {tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link", tarfile.FIFOTYPE: "pipe"}
        kind = kinds.get(member.type, "device" if member.isdev() else "member of an unknown type")
        raise InputError(f"{name}: '{member.name}' is a {kind}; expected plain files")
