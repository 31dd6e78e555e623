"""Whom a batch is for: all users of a model, or a list of raw ids."""

from __future__ import annotations

import gzip
import hashlib
import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ncf.api.limits import MAX_ID_LENGTH
from ncf.artifacts.strings import Strings
from ncf.batch.arrow import from_arrow, to_arrow
from ncf.data.columns import plain_name
from ncf.errors import InputError

STRANGER = -1
_MAX_LINE_BYTES = 4 * MAX_ID_LENGTH + len("\ufeff\r\n".encode())  # a character has four bytes at most
_LINES_AT_ONCE = 1 << 16
_HEADERS = ("user", "userid")
_SHOWN = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Users:
    """Users in the order in which they are answered.

    Attributes:
        ids: raw id of each.
        indices: int64 [n], the model's index of each; ``STRANGER`` where it knows none.
        repeated: lines of the list that named somebody again, and were dropped.
    """

    ids: Strings
    indices: NDArray[np.int64]
    repeated: int = 0

    @property
    def strangers(self) -> int:
        return int((self.indices == STRANGER).sum())

    def digest(self) -> str:
        """Equal for equal users in equal order."""
        digest = hashlib.sha256(self.indices.tobytes())
        for place in map(int, np.flatnonzero(self.indices == STRANGER)):
            digest.update(self.ids[place].encode() + b"\n")
        return digest.hexdigest()

    @classmethod
    def everybody(cls, known: Strings) -> Users:
        """All users of a model."""
        return cls(known, np.arange(len(known)))

    @classmethod
    def read(cls, path: Path, known: Strings) -> Users:
        """A list: text with one raw id a line, plain or ``.gz``; ``user`` or ``user_id`` may stand above it.

        Blank lines are passed over; who is named again is dropped.

        Raises:
            InputError: that names the file, and the line, if it is no such list or names nobody.
        """
        model = to_arrow(known)
        ids = (
            user
            for number, user in _lines(path)
            if number > 1 or plain_name(user) not in _HEADERS or pc.index(model, user).as_py() >= 0
        )
        blocks = iter(lambda: pa.array(islice(ids, _LINES_AT_ONCE), pa.large_string()), pa.array([], pa.large_string()))
        named = pa.chunked_array(blocks, pa.large_string())
        unique = named.unique()  # in the order of first appearance
        if not len(unique):
            raise InputError(f"{path}: names no user; expected one user id a line")
        places = pc.index_in(model, unique)  # of the model's users in the list
        indices = np.full(len(unique), STRANGER, np.int64)
        listed = pc.indices_nonzero(pc.is_valid(places)).to_numpy()
        indices[places.drop_null().to_numpy()] = listed
        users = cls(from_arrow(unique), indices, len(named) - len(unique))
        users._report(path)
        return users

    def _report(self, path: Path) -> None:
        if self.repeated:
            _log.warning("%s: %d lines name a user again; each is answered once", path, self.repeated)
        if self.strangers:
            strangers = np.flatnonzero(self.indices == STRANGER)[:_SHOWN].tolist()
            shown = ", ".join(repr(self.ids[place][:60]) for place in strangers)
            _log.warning(
                "%s: %d of %d users are not in the model and get popular items: %s%s",
                path, self.strangers, len(self.ids), shown, ", ..." if self.strangers > _SHOWN else "",
            )  # fmt: skip


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and content of each line that is not blank.

    Raises:
        InputError: that names file and line.
    """
    if path.is_dir() or not path.exists():
        raise InputError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}; expected a file of user ids")
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            while line := stream.readline(_MAX_LINE_BYTES + 1):
                number += 1
                text = "" if len(line) > _MAX_LINE_BYTES else line.decode("utf-8-sig" if number == 1 else "utf-8")
                text = text.strip()
                if len(line) > _MAX_LINE_BYTES or len(text) > MAX_ID_LENGTH:
                    raise InputError(
                        f"{path}: line {number} has more than {MAX_ID_LENGTH} characters; expected one user id a line"
                    )
                if text:
                    yield number, text
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: line {number} is not UTF-8 ({error.reason}); expected one user id a line") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be unpacked: {error}") from None
