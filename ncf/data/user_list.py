"""List of users: text with one raw id a line, plain or ``.gz``."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

from ncf.artifacts.ids import MAX_ID_LENGTH, canonical_id
from ncf.data.columns import plain_name
from ncf.errors import InputError

_MAX_LINE_BYTES = 4 * MAX_ID_LENGTH + len("\ufeff\r\n".encode())  # up to four bytes a character
_HEADERS = ("user", "userid")
_GZIP = b"\x1f\x8b"
_log = logging.getLogger(__name__)


def is_header(text: str) -> bool:
    """Whether the first line of a list may be a header: ``user`` or ``user_id``."""
    return plain_name(text) in _HEADERS


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_GZIP)) == _GZIP


def numbered_users(path: Path) -> Iterator[tuple[int, str]]:
    """Number, from 1, and id of each line that is not blank. Ids are read by the rule for ids in interactions.

    Raises:
        InputError: with file and line.
    """
    if path.is_dir() or not path.exists():
        raise InputError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}; expected a file of user ids")
    number = missing = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" or _is_gzip(path) else path.open("rb") as stream:
            while line := stream.readline(_MAX_LINE_BYTES + 1):
                number += 1
                text = "" if len(line) > _MAX_LINE_BYTES else line.decode("utf-8-sig" if number == 1 else "utf-8")
                stripped = text.strip()
                text = canonical_id(stripped)
                if len(line) > _MAX_LINE_BYTES or len(text) > MAX_ID_LENGTH:
                    raise InputError(
                        f"{path}: line {number} has more than {MAX_ID_LENGTH} characters; expected one user id a line"
                    )
                if "\r" in text:
                    raise InputError(
                        f"{path}: line {number} has a carriage return within, {text[:20]!r}; expected one user id a "
                        "line, with line feeds at the ends"
                    )
                missing += bool(stripped) and not text
                if text:
                    yield number, text
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: line {number} is not UTF-8 ({error.reason}); expected one user id a line") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be unpacked: {error}") from None
    if missing:
        _log.warning("%s: %d lines stand for a missing user, such as None or NaN, and are dropped", path, missing)
