"""Items of each user, as two arrays (compressed sparse rows)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.arrays import save_array
from ncf.errors import InputError

_INTERACTIONS_PER_BLOCK = 1 << 22
"""Interactions that are sorted together, with some 30 bytes each beside the result."""


@dataclass(frozen=True)
class ItemsByUser:
    """Items of each user: ``items[offsets[u] : offsets[u + 1]]`` for user ``u``.

    Attributes:
        offsets: int64 [users + 1], from 0 to the number of interactions.
        items: int32 [interactions], item indices.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]

    def __post_init__(self) -> None:
        offsets, items = self.offsets, self.items
        if offsets.ndim != 1 or items.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(items):
            raise InputError(
                f"offsets {offsets.shape} must be one-dimensional and run from 0 to {len(items)}, the number of items"
            )

    @classmethod
    def of(cls, users: NDArray[np.int32], items: NDArray[np.int32], n_users: int) -> ItemsByUser:
        """Pairs, int32 [n] each in any order, grouped by user. Items of a user are sorted and distinct."""
        keys = _sorted_keys(users, items)
        return cls.of_sorted((keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32), n_users)

    @classmethod
    def of_sorted(cls, users: NDArray[np.int32], items: NDArray[np.int32], n_users: int) -> ItemsByUser:
        """Pairs that are sorted by user, grouped by user. The order of a user's items is kept."""
        offsets = np.zeros(n_users + 1, np.int64)
        np.cumsum(np.bincount(users, minlength=n_users), out=offsets[1:])
        return cls(offsets, items)

    def save(self, folder: Path, name: str) -> None:
        save_array(folder / f"{name}_offsets.npy", self.offsets)
        save_array(folder / f"{name}_items.npy", self.items)

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    def of_user(self, user: int) -> NDArray[np.int32]:
        """Item indices of a user, int32 [interactions of the user]."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def counts(self) -> NDArray[np.int64]:
        """Interactions of each user, int64 [users]."""
        return np.diff(self.offsets)

    def users(self) -> NDArray[np.int32]:
        """User of each interaction, int32 [interactions]."""
        return self.users_between(0, self.n_users)

    def users_between(self, start: int, end: int) -> NDArray[np.int32]:
        """User of each interaction of the users in [start, end), int32."""
        return np.repeat(np.arange(start, end, dtype=np.int32), np.diff(self.offsets[start : end + 1]))

    def of_users(self, users: NDArray[np.integer[Any]]) -> ItemsByUser:
        """Items of some users, int [n] ascending, who are numbered from 0."""
        chosen = np.zeros(self.n_users, bool)
        chosen[users] = True
        counts = self.counts()
        return ItemsByUser(np.concatenate([[0], np.cumsum(counts[chosen])]), self.items[np.repeat(chosen, counts)])

    def union(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> ItemsByUser:
        """Union with further pairs, int32 [n] each. Items of a user are sorted and distinct."""
        added = ItemsByUser.of(users, items, self.n_users)
        counts, parts = np.zeros(self.n_users, np.int64), [np.empty(0, np.int32)]
        for start, end in self._user_blocks():
            both = [
                (part.users_between(start, end), part.items[part.offsets[start] : part.offsets[end]])
                for part in (self, added)
            ]
            keys = _sorted_keys(*(np.concatenate(column) for column in zip(*both, strict=True)))
            counts[start:end] = np.bincount((keys >> 32) - start, minlength=end - start)
            parts.append((keys & 0xFFFFFFFF).astype(np.int32))
        return ItemsByUser(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(parts))

    def in_order(self) -> ItemsByUser:
        """Sorted and distinct items of each user."""
        nothing = np.empty(0, np.int32)
        return self.union(nothing, nothing)

    def _user_blocks(self) -> Iterator[tuple[int, int]]:
        """Ranges of users, each with at most ``_INTERACTIONS_PER_BLOCK`` interactions, or of one user."""
        start = 0
        while start < self.n_users:
            end = int(np.searchsorted(self.offsets, self.offsets[start] + _INTERACTIONS_PER_BLOCK, side="right")) - 1
            end = min(max(end, start + 1), self.n_users)
            yield start, end
            start = end


def _sorted_keys(users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.int64]:
    """Keys ``user << 32 | item`` of pairs, int64, sorted and distinct."""
    keys = users.astype(np.int64)
    keys <<= 32
    keys |= items
    keys.sort()  # several times faster than np.unique, which hashes
    new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    return keys if new.all() else keys[new]
