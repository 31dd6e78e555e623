"""Files and JSON of a folder that comes from outside: no link, pipe or device is followed, and sizes are bounded."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic_core import from_json

from ncf.errors import InputError

MAX_JSON_BYTES = 16 << 20
"""Size of a JSON file in a folder between two stages, at most."""
_SHOWN_CHARACTERS = 200
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # the open of a pipe would wait for a writer


def open_regular(folder: Path, name: str) -> IO[bytes]:
    """Open a regular file below a folder. The folder may be a link, but nothing below it.

    Args:
        folder: of the file.
        name: of the file, relative to the folder, with '/' between folders.

    Raises:
        InputError: if the file is missing, a link, a pipe, a device or a folder, or a folder above it is a link.
    """
    *parents, last = PurePosixPath(name).parts
    path = folder
    with ExitStack() as stack:
        try:
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, directory)
            for parent in parents:
                path = path / parent
                directory = os.open(parent, _FLAGS | os.O_DIRECTORY, dir_fd=directory)
                stack.callback(os.close, directory)
            path = path / last
            stream = open(last, "rb", opener=lambda file, _: os.open(file, _FLAGS, dir_fd=directory))  # noqa: SIM115
        except FileNotFoundError:
            raise InputError(f"{folder / name}: missing; the folder is not complete") from None
        except OSError as error:
            raise InputError(f"{path}: {_kind(path) or error.strerror}; expected a regular file") from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise InputError(f"{path}: {_kind(path)}; expected a regular file")
    return stream


def check_all_regular(folder: Path) -> None:
    """Check that a folder holds only regular files and folders, before a copy would follow a link.

    Raises:
        InputError: with the first other entry.
    """
    for path in sorted(folder.rglob("*")):
        if (kind := _kind(path)) and (path.is_symlink() or not path.is_dir()):
            raise InputError(f"{path}: {kind}; expected a regular file")


def _kind(path: Path) -> str:
    """What a path is, if it is no regular file; '' if that is not known."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return f"is {kind}" if (kind := kinds.get(stat.S_IFMT(mode))) else ""


def exists(folder: Path, name: str) -> bool:
    """Whether a folder has an entry of this name, be it a link or not a regular file."""
    return os.path.lexists(folder / name)


def read_json(folder: Path, name: str) -> bytes:
    """The bytes of a JSON file.

    Raises:
        InputError: if it is not a regular file, or has more than ``MAX_JSON_BYTES``.
    """
    with open_regular(folder, name) as stream:
        content = stream.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise InputError(f"{folder / name}: has more than {MAX_JSON_BYTES} bytes, the limit for JSON")
    return content


def parse_json(content: bytes) -> Any:
    """JSON with each key once and finite numbers, nested 200 deep at most.

    Raises:
        ValueError: if the content is not such JSON, or not UTF-8.
    """
    from_json(content, allow_inf_nan=False)  # bounds the depth, and refuses surrogates
    return json.loads(content, object_pairs_hook=_unique, parse_float=_finite)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"key {shown(key)} is given more than once")
        values[key] = value
    return values


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"number {text[:_SHOWN_CHARACTERS]} is too large")
    return value


def shown(value: object, characters: int = _SHOWN_CHARACTERS) -> str:
    """A value in a message, shortened to a number of characters."""
    text = repr(value)
    return text if len(text) <= characters else f"{text[:characters]}..."
