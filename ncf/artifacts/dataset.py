"""The ``dataset`` folder: written by preprocess, read by negative sampling and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts import manifest
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings
from ncf.errors import InputError

KIND = "dataset"
DAYS = "days.npy"
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
        np.save(folder / "validation.npy", self.validation)
        np.save(folder / "test.npy", self.test)
        self.user_ids.save(folder, "user_ids")
        self.item_ids.save(folder, "item_ids")
        if self.item_titles is not None:
            self.item_titles.save(folder, "item_titles")
        if self.test_negatives is not None:
            np.save(folder / "test_negatives.npy", self.test_negatives)
        if self.days is not None:
            np.save(folder / DAYS, self.days)
        counts = {
            "users": self.n_users,
            "items": self.n_items,
            "train": len(self.train.items),
            "validation": len(self.validation),
            "test": len(self.test),
        }
        manifest.write(folder, KIND, counts, parameters, source)

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read a ``dataset`` folder, memory-mapped, after a check against its manifest.

        Raises:
            InputError: if a file is missing, damaged or has the wrong shape, or an index is out of range.
        """
        manifest.read(folder, KIND)
        manifest.require(folder, "train_offsets.npy", "train_items.npy", "validation.npy", "test.npy")
        manifest.require(folder, "user_ids.offsets.npy", "item_ids.offsets.npy")

        def optional(name: str, dimensions: int) -> NDArray[np.int32] | None:
            return load_array(folder / name, dimensions) if (folder / name).is_file() else None

        dataset = cls(
            train=ItemsByUser.load(folder, "train"),
            validation=load_array(folder / "validation.npy", 2),
            test=load_array(folder / "test.npy", 2),
            user_ids=Strings.load(folder, "user_ids"),
            item_ids=Strings.load(folder, "item_ids"),
            item_titles=Strings.load(folder, "item_titles") if (folder / "item_titles.bytes.npy").is_file() else None,
            test_negatives=optional("test_negatives.npy", 2),
            days=optional(DAYS, 1),
        )
        dataset._check(folder)
        return dataset

    def _check(self, folder: Path) -> None:
        if self.train.n_users != self.n_users:
            raise InputError(f"{folder}: {self.train.n_users} users in train, but {self.n_users} user ids")
        if self.item_titles is not None and len(self.item_titles) != self.n_items:
            raise InputError(f"{folder}: {len(self.item_titles)} titles for {self.n_items} items")
        check_range(folder / "train_items.npy", self.train.items, self.n_items)
        for name, pairs in (("validation.npy", self.validation), ("test.npy", self.test)):
            if pairs.shape[1] != 2:
                raise InputError(f"{folder / name}: shape {pairs.shape}; expected [n, 2]: user, item")
            check_range(folder / name, pairs[:, 0], self.n_users)
            check_range(folder / name, pairs[:, 1], self.n_items)
        positives = len(self.train.items) + len(self.validation) + len(self.test)
        if self.days is not None and len(self.days) != positives:
            raise InputError(f"{folder / DAYS}: {len(self.days)} days for {positives} positives")
        if self.test_negatives is not None:
            if len(self.test_negatives) != len(self.test):
                raise InputError(f"{folder}: {len(self.test_negatives)} rows of negatives for {len(self.test)} tests")
            check_range(folder / "test_negatives.npy", self.test_negatives, self.n_items)


def load_array(path: Path, dimensions: int) -> NDArray[Any]:
    """Array of an ``.npy`` file, memory-mapped.

    Raises:
        InputError: if the file is missing or is not an array with this number of dimensions.
    """
    manifest.require(path.parent, path.name)
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise InputError(f"{path}: not an array file: {error}") from None
    if array.ndim != dimensions:
        raise InputError(f"{path}: shape {array.shape}; expected {dimensions} dimensions")
    return array


def check_range(path: Path, indices: NDArray[np.int32], size: int) -> None:
    """Check that all indices are in [0, size).

    Raises:
        InputError: if not, with ``path`` in its message.
    """
    if len(indices) and not (indices.min() >= 0 and indices.max() < size):
        raise InputError(f"{path}: indices from {indices.min()} to {indices.max()}; expected 0 to {size - 1}")
