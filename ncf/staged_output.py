"""Outputs on this machine that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ncf.disk_errors import as_os_error


@contextmanager
def staged(destination: Path, optional: bool = False, exclusive: bool = False) -> Iterator[Path]:
    """A temporary sibling of a file or folder; renamed to ``destination`` if the block succeeds.

    If the block fails, the temporary files and the parent folders made for them are removed, and an existing
    ``destination`` is unchanged. The same holds if the block writes nothing. Temporary files left behind by killed
    processes are removed first.

    Args:
        destination: file or folder to write.
        optional: whether the block may write nothing.
        exclusive: whether to refuse a destination that another process is writing.

    Raises:
        BlockingIOError: if another process is writing the destination, and ``exclusive``.
        FileNotFoundError: if the block wrote nothing, unless ``optional``.
        OSError: with its number if a library could write a file only in part.
    """
    missing = [folder for folder in destination.parents if not folder.exists()]
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _sibling(destination) as folder:
            if exclusive and _is_written(destination, folder):
                raise BlockingIOError(errno.EWOULDBLOCK, "another process is writing it", str(destination))
            temporary = folder / destination.name
            yield temporary
            if temporary.exists() or not optional:
                publish(temporary, destination)
    except BaseException as error:
        with suppress(OSError):  # not empty: another process has written to it
            for made in missing:
                made.rmdir()
        if (found := as_os_error(error)) is not None and found is not error:
            raise found from error
        raise


def publish(temporary: Path, destination: Path) -> None:
    """Move a finished file or folder to its destination on the same file system, and replace an existing one."""
    if not temporary.exists():
        raise FileNotFoundError(f"{destination.name} was not written")
    if not (temporary.is_dir() and destination.is_dir()):
        temporary.replace(destination)
        return
    retired = _retired(temporary)
    try:
        destination.replace(retired)
        temporary.replace(destination)
    except BaseException:
        if retired.exists() and not destination.exists():
            retired.replace(destination)
        raise
    shutil.rmtree(retired)


def _retired(temporary: Path) -> Path:
    """Path of the old folder while the new one replaces it."""
    return temporary.with_name(f"{temporary.name}.retired")


@contextmanager
def _sibling(destination: Path) -> Iterator[Path]:
    """A folder beside ``destination`` for the duration of the block."""
    _clear_leftovers(destination)
    folder, lock = _locked_sibling(destination)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        finally:
            os.close(lock)


def _locked_sibling(destination: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor of its lock. The lock is released at the latest when the process ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(destination), dir=destination.parent))
        with suppress(FileNotFoundError):  # another process removed it before it was locked
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: leftovers stay
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _clear_leftovers(destination: Path) -> None:
    """Remove siblings of killed processes. A finished folder is moved to a destination that is missing."""
    prefix = _prefix(destination)
    for folder in [path for path in destination.parent.iterdir() if path.name.startswith(prefix)]:
        with suppress(OSError):  # another process writes to it, or has removed it
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                finished = folder / destination.name
                if finished.exists() and _retired(finished).exists() and not destination.exists():
                    finished.replace(destination)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)


def _is_written(destination: Path, own: Path) -> bool:
    """Whether another process has a locked sibling of a destination."""
    siblings = destination.parent.glob(f"{glob.escape(_prefix(destination))}*")
    return any(_is_locked(folder) for folder in siblings if folder != own)


def _is_locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it has just been removed
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _prefix(destination: Path) -> str:
    return f".{destination.name}.ncf-"
