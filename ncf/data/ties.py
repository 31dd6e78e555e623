"""Order of a user's interactions at the same time: by a hash, so that no item is preferred for its id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ROW_BITS = 32  # of a sort key: number of the tie; the other half is of the hash
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of splitmix64
_SHIFTS = (30, 27)
_LAST_SHIFT = np.uint64(31)


def break_ties(
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    time: NDArray[np.int64],
    ids: tuple[Sequence[str], Sequence[str]],
    seed: int,
) -> None:
    """Order the items of each user and time by a hash of seed, user id and item id, in place.

    The result depends on neither the order of rows nor the order of ids, and is the same on every machine.

    Args:
        user: int32 [n], sorted.
        item: int32 [n], overwritten; sorted within each user and time.
        time: int64 [n], sorted within each user.
        ids: raw ids of the users, and of the items.
        seed: seed of the hash.
    """
    same = np.zeros(len(user) + 1, bool)  # whether a row has the user and time of the row before it
    np.equal(user[1:], user[:-1], out=same[1:-1])
    same[1:-1] &= time[1:] == time[:-1]
    rows = np.flatnonzero(same[:-1] | same[1:])
    if not len(rows):
        return
    tie = np.cumsum(~same[rows], dtype=np.uint64)
    tied = item[rows]
    key = _hashes(ids[0], seed, b"user")[user[rows]]
    key ^= _hashes(ids[1], seed, b"item")[tied]
    _mix(key)
    key >>= np.uint64(_ROW_BITS)
    tie <<= np.uint64(_ROW_BITS)
    key |= tie
    item[rows] = tied[np.argsort(key, kind="stable")]


def _hashes(ids: Sequence[str], seed: int, role: bytes) -> NDArray[np.uint64]:
    """Hash of each id, uint64 [ids]."""
    start = hashlib.blake2b(digest_size=8, key=seed.to_bytes(8, "little"), person=role)
    digests = bytearray()
    for text in ids:
        own = start.copy()
        own.update(text.encode())
        digests += own.digest()
    return np.frombuffer(bytes(digests), "<u8").astype(np.uint64)


def _mix(values: NDArray[np.uint64]) -> None:
    """Finalisation of splitmix64, in place: each bit of the result depends on all bits of a value."""
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=True):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(multiplier)
    values ^= values >> _LAST_SHIFT
