"""Search for users in datasets, models, exports, tables, captured requests and archives, on disk or in S3."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ncf.artifacts.archive import unpacked
from ncf.errors import InputError
from ncf.operators.forgetting.readers import (
    IDS,
    OFFSETS,
    ids_of_folder,
    ids_of_lines,
    ids_of_list,
    ids_of_table,
    kind_of,
)
from ncf.storage import download, is_s3, list_objects

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchedFile:
    """A file that was searched.

    Attributes:
        name: path or URI.
        users: number of users of the list in it.
        fault: why it could not be read; '' if it was read.
    """

    name: str
    users: int = 0
    fault: str = ""


def search(location: str, users: frozenset[str]) -> Iterator[SearchedFile]:
    """Search all files at a location that may hold raw ids of users. One file is held at a time.

    Args:
        location: path or S3 URI of a file or folder.
        users: raw ids.

    Raises:
        InputError: if there is nothing at the location.
    """
    names = list_objects(location) if is_s3(location) else _files(Path(location))
    if not names:
        raise InputError(f"{location}: there is nothing; expected a file, a folder or an S3 prefix")
    for name in names:
        if kind := kind_of(name):
            try:
                with _local(name, kind) as path:
                    yield from _search(path, name, kind, users)
            except (InputError, OSError, ValueError) as error:
                yield SearchedFile(name, fault=str(error))


def _files(path: Path) -> list[str]:
    return sorted(str(file) for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


@contextmanager
def _local(name: str, kind: str) -> Iterator[Path]:
    """The file; of ids in S3, with their offsets beside them."""
    if not is_s3(name):
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="ncf-") as folder:
        path = download(name, Path(folder) / name.rpartition("/")[2])
        if kind == "ids":
            download(name.removesuffix(IDS) + OFFSETS, Path(folder) / OFFSETS)
        yield path


def _search(path: Path, name: str, kind: str, users: frozenset[str]) -> Iterator[SearchedFile]:
    if kind == "archive":
        with unpacked(path) as folder:
            for file in search(str(folder), users):
                yield SearchedFile(f"{name}/{Path(file.name).relative_to(folder)}", file.users, file.fault)
        return
    readers = {
        "ids": lambda: ids_of_folder(path.parent),
        "list": lambda: ids_of_list(path),
        "lines": lambda: ids_of_lines(path),
    }
    yield SearchedFile(name, _count(readers.get(kind, lambda: ids_of_table(path))(), users))


def _count(blocks: Iterable[Sequence[str]], users: frozenset[str]) -> int:
    found: set[str] = set()
    for block in blocks:
        found.update(users.intersection(block))
    return len(found)
