"""Users of a batch: all users of a model, or a list of raw ids."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ncf.artifacts.strings import Strings
from ncf.batch.arrow import from_arrow, to_arrow
from ncf.data.user_list import is_header, numbered_users
from ncf.errors import InputError

UNKNOWN = -1
_LINES_PER_BLOCK = 1 << 16
_SHOWN, _SHOWN_CHARACTERS = 3, 60
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Users:
    """Users of a batch, in the order of the output.

    Attributes:
        ids: raw id of each.
        indices: int64 [n], index of each in the model, or ``UNKNOWN``.
        repeated: dropped lines of the list that repeat a user.
    """

    ids: Strings
    indices: NDArray[np.int64]
    repeated: int = 0

    @property
    def unknown(self) -> int:
        """Number of users that are not in the model."""
        return int((self.indices == UNKNOWN).sum())

    def digest(self) -> str:
        """SHA-256 of the users and their order."""
        digest = hashlib.sha256(self.indices.tobytes())
        for row in map(int, np.flatnonzero(self.indices == UNKNOWN)):
            digest.update(self.ids[row].encode() + b"\n")
        return digest.hexdigest()

    @classmethod
    def of_model(cls, known: Strings) -> Users:
        """All users of a model."""
        return cls(known, np.arange(len(known)))

    @classmethod
    def read(cls, path: Path, known: Strings) -> Users:
        """Users of a list: text with one raw id a line, plain or ``.gz``.

        The first line may be a header, ``user`` or ``user_id``. Ids are read by the rule for ids in interactions:
        padding is removed, and blank lines and missing values are ignored. Repeated users are dropped.

        Args:
            path: of the list.
            known: raw ids of the model.

        Raises:
            InputError: with the file, and the line, if it is not such a list, or has no user of the model.
        """
        model = to_arrow(known)
        ids = (
            user
            for number, user in numbered_users(path)
            if number > 1 or not is_header(user) or pc.index(model, user).as_py() >= 0
        )
        blocks = iter(
            lambda: pa.array(islice(ids, _LINES_PER_BLOCK), pa.large_string()), pa.array([], pa.large_string())
        )
        named = pa.chunked_array(blocks, pa.large_string())
        unique = named.unique()  # in the order of first appearance
        if not len(unique):
            raise InputError(f"{path}: has no user; expected one user id a line")
        rows = pc.index_in(model, unique)  # in the list, of each user of the model
        indices = np.full(len(unique), UNKNOWN, np.int64)
        listed = pc.indices_nonzero(pc.is_valid(rows)).to_numpy()
        indices[rows.drop_null().to_numpy()] = listed
        users = cls(from_arrow(unique), indices, len(named) - len(unique))
        if users.unknown == len(users.ids):
            raise InputError(
                f"{path}: none of the {users.unknown:,} users is in the model: {_sample(users.ids)}; ids in the model: "
                f"{_sample(known)}; expected at least one of them, as all others get the same popular items"
            )
        users._report(path)
        return users

    def _report(self, path: Path) -> None:
        if self.repeated:
            _log.warning("%s: %d lines repeat a user and are dropped", path, self.repeated)
        if self.unknown:
            unknown = [self.ids[row] for row in np.flatnonzero(self.indices == UNKNOWN)[: _SHOWN + 1].tolist()]
            _log.warning(
                "%s: %d of %d users are not in the model and get popular items: %s",
                path, self.unknown, len(self.ids), _sample(unknown),
            )  # fmt: skip


def _sample(ids: Sequence[str]) -> str:
    """First ids, as text for a message."""
    shown = ", ".join(repr(ids[row][:_SHOWN_CHARACTERS]) for row in range(min(_SHOWN, len(ids))))
    return f"{shown}, ..." if len(ids) > _SHOWN else shown
