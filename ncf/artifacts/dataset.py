"""The ``dataset`` folder: written by preprocess, read by negative sampling and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

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
WEIGHTS = "weights.npy"
NEGATIVES = "test_negatives.npy"
_Value = TypeVar("_Value", np.int32, np.float32)
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
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
        weights: float32 [positives], > 0, in the order of ``days``: sum of the weights of the events of each positive;
            None without event types.
    """

    train: ItemsByUser
    validation: Pairs
    test: Pairs
    user_ids: Strings
    item_ids: Strings
    item_titles: Strings | None = None
    test_negatives: NDArray[np.int32] | None = None
    days: NDArray[np.int32] | None = None
    weights: NDArray[np.float32] | None = None

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    def positives(self) -> ItemsByUser:
        """All positives, of training, validation and test: items of a user in order of time."""
        return self.positives_up_to("test")

    def positives_up_to(self, part: Part) -> ItemsByUser:
        """Positives of training and, in this order, of the parts up to ``part``: items of a user in order of time."""
        items = [self.train.items, self.validation[:, 1], self.test[:, 1]][: 1 + PARTS.index(part)]
        counts = self._counts_of_parts()[: len(items)]
        return ItemsByUser(_offsets(counts), _side_by_side(items, counts))

    def positive_days(self) -> NDArray[np.int32] | None:
        """Days since 1970 UTC of each of :meth:`positives`, int32, in the same order; None without times."""
        return None if self.days is None else self._of_positives(self.days, "test")

    def positive_weights(self, part: Part = "test") -> NDArray[np.float32] | None:
        """Weight of each of :meth:`positives_up_to`, float32, in the same order; None without event types."""
        return None if self.weights is None else self._of_positives(self.weights, part)

    def _of_positives(self, values: NDArray[_Value], part: Part) -> NDArray[_Value]:
        """Values of the positives, those of training, validation and test one after the other, by user."""
        columns = np.split(values, np.cumsum([len(self.train.items), len(self.validation)]))[: 1 + PARTS.index(part)]
        return _side_by_side(columns, self._counts_of_parts()[: len(columns)])

    def _counts_of_parts(self) -> list[NDArray[np.int64]]:
        """Positives of each user in training, validation and test, int64 [users] each."""
        held_out = (np.bincount(pairs[:, 0], minlength=self.n_users) for pairs in (self.validation, self.test))
        return [self.train.counts(), *held_out]

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
        if self.weights is not None:
            save_array(folder / WEIGHTS, self.weights)
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
            weights=files.array(WEIGHTS, np.float32) if files.has(WEIGHTS) else None,
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
        if self.weights is not None:
            check_weights(folder / WEIGHTS, self.weights, positives)
        if self.test_negatives is not None:
            if len(self.test_negatives) != len(self.test):
                raise InputError(f"{folder}: {len(self.test_negatives)} rows of negatives for {len(self.test)} tests")
            check_candidates(folder / NEGATIVES, self.test_negatives, self.n_items)


def _offsets(counts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """First value of each user, and the number of values, int64 [users + 1], of columns of ``counts``."""
    return np.concatenate([[0], np.cumsum(np.sum(counts, axis=0))]).astype(np.int64)


def _side_by_side(columns: Sequence[NDArray[_Value]], counts: Sequence[NDArray[np.int64]]) -> NDArray[_Value]:
    """Values of several columns, one user after the other, and a user's in the order of the columns.

    Args:
        columns: values, sorted by user.
        counts: int64 [users] for each column, values of each user.
    """
    offsets = _offsets(counts)
    values = np.empty(offsets[-1], columns[0].dtype)
    first = offsets[:-1].copy()
    for column, of_users in zip(columns, counts, strict=True):
        begin = np.cumsum(of_users) - of_users
        values[np.repeat(first - begin, of_users) + np.arange(len(column))] = column
        first += of_users
    return values


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


def check_weights(path: Path, weights: NDArray[np.float32], positives: int) -> None:
    """Check the weights of positives.

    Raises:
        InputError: if there are more or fewer, or one is not a finite number above 0, with ``path`` in its message.
    """
    if len(weights) != positives:
        raise InputError(f"{path}: {len(weights)} weights for {positives} positives")
    if not (fine := (weights > 0) & (weights < np.inf)).all():
        place = int(fine.argmin())
        raise InputError(f"{path}: weight {place} is {weights[place]}; expected finite numbers above 0")


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
