"""The items of each user, as two arrays (compressed sparse rows)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncf.errors import InputError


@dataclass(frozen=True)
class ItemsByUser:
    """``items[offsets[u] : offsets[u + 1]]`` are the items of user ``u``.

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
        """Group pairs (int32 [n] each, in any order) by user; a user's items come sorted and without repeats."""
        keys = np.sort(users.astype(np.int64) << 32 | items)  # several times faster than np.unique, which hashes
        keys = keys[np.diff(keys, prepend=-1) != 0]
        return cls.of_sorted((keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32), n_users)

    @classmethod
    def of_sorted(cls, users: NDArray[np.int32], items: NDArray[np.int32], n_users: int) -> ItemsByUser:
        """Group pairs that are sorted by user already; the order of a user's items is kept."""
        offsets = np.zeros(n_users + 1, np.int64)
        np.cumsum(np.bincount(users, minlength=n_users), out=offsets[1:])
        return cls(offsets, items)

    @classmethod
    def load(cls, folder: Path, name: str) -> ItemsByUser:
        """Read ``<name>_offsets.npy`` and ``<name>_items.npy``, memory-mapped."""
        offsets, items = (
            np.load(folder / f"{name}_{part}.npy", mmap_mode="r", allow_pickle=False) for part in ("offsets", "items")
        )
        return cls(offsets, items)

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}_offsets.npy", self.offsets)
        np.save(folder / f"{name}_items.npy", self.items)

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    def of_user(self, user: int) -> NDArray[np.int32]:
        """Item indices of one user, int32 [its interactions]."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def counts(self) -> NDArray[np.int64]:
        """Interactions per user, int64 [users]."""
        return np.diff(self.offsets)

    def users(self) -> NDArray[np.int32]:
        """The user of each interaction, int32 [interactions]."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.counts())

    def union(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> ItemsByUser:
        """These and further pairs (int32 [n] each); a user's items come sorted and without repeats."""
        return ItemsByUser.of(np.concatenate([self.users(), users]), np.concatenate([self.items, items]), self.n_users)
