"""The ``dataset`` folder: written by preprocess, read by negative sampling and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts import manifest
from ncf.artifacts.arrays import save_array
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.errors import InputError

KIND = "dataset"
DAYS = "days.npy"
NEGATIVES = "test_negatives.npy"
_USERS_AT_ONCE = 1 << 14
Pairs = NDArray[np.int32]  # [n, 2]: user index, item index; sorted by user


@dataclass(frozen=True)
class Dataset:
    """Positives as indices, split for training, validation and test, with raw ids.

    Attributes:
        train: items of each user, sorted by time, or by item without times.
        validation: int32 [n, 2] held-out (user, item), sorted by user, to choose epochs and settings.
        test: int32 [m, 2] held-out (user, item), sorted by user, to evaluate once.
        user_ids: raw id of each user index.
        item_ids: raw id of each item index.
        item_titles: title of each item index ('' where unknown), or None without titles.
        test_negatives: int32 [m, candidates] from the NCF release format, or None.
        days: int32 [positives], days since 1970 UTC of those of ``train``, then ``validation``, then ``test``; None
            without times.
    """

    train: ItemsByUser
    validation: Pairs
    test: Pairs
    user_ids: Strings
    item_ids: Strings
    item_titles: Strings | None = None
    test_negatives: NDArray[np.int32] | None = None
    days: NDArray[np.int32] | None = None

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    def positives(self) -> ItemsByUser:
        """All positives of training, validation and test."""
        held_out = np.concatenate([self.validation, self.test])
        return self.train.union(held_out[:, 0], held_out[:, 1])

    def positive_days(self) -> NDArray[np.int32] | None:
        """Days since 1970 UTC of each of :meth:`positives`, int32, in the same order; None without times."""
        if self.days is None:
            return None
        parts = [np.empty(0, np.int32)]
        for start in range(0, self.n_users, _USERS_AT_ONCE):
            end = min(start + _USERS_AT_ONCE, self.n_users)
            first, last = self.train.offsets[[start, end]].tolist()
            users, items = [self.train.users_between(start, end)], [self.train.items[first:last]]
            days, before = [self.days[first:last]], len(self.train.items)
            for pairs in (self.validation, self.test):
                first, last = np.searchsorted(pairs[:, 0], [start, end]).tolist()
                users.append(pairs[first:last, 0])
                items.append(pairs[first:last, 1])
                days.append(self.days[before + first : before + last])
                before += len(pairs)
            keys = np.concatenate(users).astype(np.int64) << 32 | np.concatenate(items)
            parts.append(np.concatenate(days)[np.unique(keys, return_index=True)[1]])
        return np.concatenate(parts)

    def save(self, folder: Path, parameters: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        """Write the folder, which must not exist, with the manifest last."""
        folder.mkdir(parents=True)
        self.train.save(folder, "train")
        save_array(folder / "validation.npy", self.validation)
        save_array(folder / "test.npy", self.test)
        self.user_ids.save(folder, "user_ids")
        self.item_ids.save(folder, "item_ids")
        if self.item_titles is not None:
            self.item_titles.save(folder, "item_titles")
        if self.test_negatives is not None:
            save_array(folder / NEGATIVES, self.test_negatives)
        if self.days is not None:
            save_array(folder / DAYS, self.days)
        manifest.write(folder, KIND, self._counts(), parameters, source)

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read a ``dataset`` folder, memory-mapped, after a check against its manifest.

        Raises:
            InputError: if a file is missing, damaged or has the wrong shape, or an index is out of range.
        """
        content = manifest.read(folder, KIND)
        files = UntrustedFiles.of(folder, content["files"])
        dataset = cls(
            train=files.items_by_user("train"),
            validation=files.array("validation.npy", np.int32, 2),
            test=files.array("test.npy", np.int32, 2),
            user_ids=files.ids("user_ids"),
            item_ids=files.ids("item_ids"),
            item_titles=files.strings("item_titles") if files.has("item_titles.bytes.npy") else None,
            test_negatives=files.array(NEGATIVES, np.int32, 2) if files.has(NEGATIVES) else None,
            days=files.array(DAYS, np.int32) if files.has(DAYS) else None,
        )
        dataset._check(folder)
        manifest.check_counts(folder, content, dataset._counts())
        return dataset

    def _counts(self) -> dict[str, int]:
        return {
            "users": self.n_users,
            "items": self.n_items,
            "train": len(self.train.items),
            "validation": len(self.validation),
            "test": len(self.test),
        }

    def _check(self, folder: Path) -> None:
        if self.train.n_users != self.n_users:
            raise InputError(f"{folder}: {self.train.n_users} users in train, but {self.n_users} user ids")
        if self.item_titles is not None and len(self.item_titles) != self.n_items:
            raise InputError(f"{folder}: {len(self.item_titles)} titles for {self.n_items} items")
        check_range(folder / "train_items.npy", self.train.items, self.n_items)
        for name, pairs in (("validation.npy", self.validation), ("test.npy", self.test)):
            check_pairs(folder / name, pairs, self.n_users, self.n_items)
        positives = len(self.train.items) + len(self.validation) + len(self.test)
        if self.days is not None and len(self.days) != positives:
            raise InputError(f"{folder / DAYS}: {len(self.days)} days for {positives} positives")
        if self.test_negatives is not None:
            if len(self.test_negatives) != len(self.test):
                raise InputError(f"{folder}: {len(self.test_negatives)} rows of negatives for {len(self.test)} tests")
            check_candidates(folder / NEGATIVES, self.test_negatives, self.n_items)


def check_pairs(path: Path, pairs: Pairs, n_users: int, n_items: int) -> None:
    """Check held-out pairs.

    Raises:
        InputError: if they are no pairs, not sorted by user, or out of range.
    """
    if pairs.shape[1] != 2:
        raise InputError(f"{path}: shape {pairs.shape}; expected [n, 2]: user, item")
    check_range(path, pairs[:, 0], n_users)
    check_range(path, pairs[:, 1], n_items)
    if (pairs[1:, 0] < pairs[:-1, 0]).any():
        raise InputError(f"{path}: users are not sorted; expected pairs in ascending order of users")


def check_candidates(path: Path, candidates: NDArray[np.int32], n_items: int) -> None:
    """Check the negatives of held-out pairs, int32 [n, negatives].

    Raises:
        InputError: if there are none for a pair, or an index is out of range.
    """
    if not candidates.shape[1]:
        raise InputError(f"{path}: shape {candidates.shape}; expected one or more negatives in a row")
    check_range(path, candidates, n_items)


def check_range(path: Path, indices: NDArray[np.int32], size: int) -> None:
    """Check that all indices are in [0, size).

    Raises:
        InputError: if not, with ``path`` in its message.
    """
    if indices.size and not (indices.min() >= 0 and indices.max() < size):
        raise InputError(f"{path}: indices from {indices.min()} to {indices.max()}; expected 0 to {size - 1}")
