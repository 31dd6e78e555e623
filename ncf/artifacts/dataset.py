"""The ``dataset`` folder: written by preprocess, read by negative sampling and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts import manifest
from ncf.artifacts.arrays import save_array
from ncf.artifacts.index_checks import Pairs, check_candidates, check_pairs, check_range, check_weights
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.errors import InputError

KIND = "dataset"
DAYS = "days.npy"
WEIGHTS = "weights.npy"
LATER = "later.npy"
NEGATIVES = "test_negatives.npy"
_Value = TypeVar("_Value", np.int32, np.float32)
Part = Literal["train", "validation", "test", "later"]
PARTS: tuple[Part, ...] = ("train", "validation", "test", "later")


@dataclass(frozen=True)
class Dataset:
    """Positives as indices, split for training, validation and test, with raw ids.

    A temporal split has users and items that came after training. Their indices are the highest. Nothing is evaluated
    on them, and the sizes of the data set do not count them: only what is hosted is fitted on them.

    Attributes:
        train: items of each user, sorted by time, or by item without times.
        validation: int32 [n, 2] held-out (user, item), sorted by user, to choose epochs and settings.
        test: int32 [m, 2] held-out (user, item), sorted by user, to evaluate once.
        user_ids: raw id of each user index, those of ``later`` included.
        item_ids: raw id of each item index, those of ``later`` included.
        item_titles: title of each item index ('' where unknown), or None without titles.
        test_negatives: int32 [m, candidates] from the NCF release format, or None.
        days: int32 [positives], days since 1970 UTC of those of ``train``, then ``validation``, ``test`` and ``later``;
            None without times.
        weights: float32 [positives], > 0, in the order of ``days``: sum of the weights of the events of each positive;
            None without event types.
        later: int32 [n, 3] (user, item, position) that cannot be evaluated, as the user or the item came after
            training; sorted by user and position, which counts all positives of the user from 0, in order of time.
            None: no such.
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
    later: NDArray[np.int32] | None = None

    @property
    def n_users(self) -> int:
        """Users without those who came later."""
        return self.train.n_users

    @cached_property
    def n_items(self) -> int:
        """Items without those that came later."""
        return len(self.item_ids) if self.later is None else int(self.train.items.max()) + 1

    def positives(self) -> ItemsByUser:
        """All positives, of all users: items of a user in order of time."""
        return self.positives_up_to("later")

    def positives_up_to(self, part: Part) -> ItemsByUser:
        """Positives of training and, in this order, of the parts up to ``part``: items of a user in order of time.

        Those who came later are among the users with ``part`` ``later`` only.
        """
        later = np.empty(0, np.int32) if self.later is None else self.later[:, 1]
        items = self._of_positives([self.train.items, self.validation[:, 1], self.test[:, 1], later], part)
        counts = np.sum(self._counts_of_parts(part), axis=0)
        return ItemsByUser(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), items)

    def positive_days(self) -> NDArray[np.int32] | None:
        """Days since 1970 UTC of each of :meth:`positives`, int32, in the same order; None without times."""
        return None if self.days is None else self._of_positives(self._by_part(self.days), "later")

    def positive_weights(self, part: Part = "later") -> NDArray[np.float32] | None:
        """Weight of each of :meth:`positives_up_to`, float32, in the same order; None without event types."""
        return None if self.weights is None else self._of_positives(self._by_part(self.weights), part)

    def evaluated(self) -> Dataset:
        """The data set without those users and items that came later."""
        if self.later is None:
            return self
        positives = len(self.train.items) + len(self.validation) + len(self.test)
        return replace(
            self,
            user_ids=Strings.of(self.user_ids[: self.n_users]),
            item_ids=Strings.of(self.item_ids[: self.n_items]),
            item_titles=None if self.item_titles is None else Strings.of(self.item_titles[: self.n_items]),
            days=None if self.days is None else self.days[:positives],
            weights=None if self.weights is None else self.weights[:positives],
            later=None,
        )

    def _by_part(self, values: NDArray[_Value]) -> list[NDArray[_Value]]:
        """Values of the positives of each part, which are stored one part after the other."""
        return np.split(values, np.cumsum([len(self.train.items), len(self.validation), len(self.test)]))

    def _of_positives(self, values: list[NDArray[_Value]], part: Part) -> NDArray[_Value]:
        """Values of the positives of the parts up to ``part``, by user and in order of time."""
        dated = values[: 1 + PARTS.index(part)][:3]
        known = _side_by_side(dated, self._counts_of_parts("test")[: len(dated)])
        if part != "later" or self.later is None:
            return known
        user, position = self.later[:, 0], self.later[:, 2]
        counts = np.sum(self._counts_of_parts("later"), axis=0)
        rows = (np.cumsum(counts) - counts)[user] + position
        found = np.empty(len(known) + len(rows), known.dtype)
        others = np.ones(len(found), bool)
        others[rows] = False
        found[rows], found[others] = values[-1], known
        return found

    def _counts_of_parts(self, part: Part) -> list[NDArray[np.int64]]:
        """Positives of each user in the parts up to ``part``, int64 [users] each."""
        pairs = [self.validation, self.test][: PARTS.index(part)]
        counts = [self.train.counts(), *(np.bincount(of_part[:, 0], minlength=self.n_users) for of_part in pairs)]
        if part != "later" or self.later is None:
            return counts
        n_users = len(self.user_ids)
        padded = [np.pad(of_part, (0, n_users - self.n_users)) for of_part in counts]
        return [*padded, np.bincount(self.later[:, 0], minlength=n_users)]

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
        if self.later is not None:
            save_array(folder / LATER, self.later)
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
            later=files.array(LATER, np.int32, 2) if files.has(LATER) else None,
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
            **({} if self.later is None else {"later": len(self.later)}),
        }

    def _check(self, folder: Path) -> None:
        n_users, n_items = len(self.user_ids), len(self.item_ids)
        if self.n_users > n_users or (self.n_users < n_users and self.later is None):
            raise InputError(f"{folder}: {self.n_users} users in train, but {n_users} user ids")
        if self.item_titles is not None and len(self.item_titles) != n_items:
            raise InputError(f"{folder}: {len(self.item_titles)} titles for {n_items} items")
        check_range(folder / "train_items.npy", self.train.items, n_items)
        later = 0
        if self.later is not None:
            if not len(self.train.items):
                raise InputError(f"{folder / LATER}: there are no training positives that others could come after")
            later = len(self.later)
            _check_later(folder / LATER, self)
        for name, pairs in (("validation.npy", self.validation), ("test.npy", self.test)):
            check_pairs(folder / name, pairs, self.n_users, self.n_items)
        positives = len(self.train.items) + len(self.validation) + len(self.test) + later
        if self.days is not None and len(self.days) != positives:
            raise InputError(f"{folder / DAYS}: {len(self.days)} days for {positives} positives")
        if self.weights is not None:
            check_weights(folder / WEIGHTS, self.weights, positives)
        if self.test_negatives is not None:
            if len(self.test_negatives) != len(self.test):
                raise InputError(f"{folder}: {len(self.test_negatives)} rows of negatives for {len(self.test)} tests")
            check_candidates(folder / NEGATIVES, self.test_negatives, self.n_items)


def _side_by_side(columns: Sequence[NDArray[_Value]], counts: Sequence[NDArray[np.int64]]) -> NDArray[_Value]:
    """Values of several columns, one user after the other, and a user's in the order of the columns.

    Args:
        columns: values, sorted by user.
        counts: int64 [users] for each column, values of each user.
    """
    total = np.sum(counts, axis=0)
    values = np.empty(total.sum(), columns[0].dtype)
    first = np.cumsum(total) - total
    for column, of_users in zip(columns, counts, strict=True):
        begin = np.cumsum(of_users) - of_users
        values[np.repeat(first - begin, of_users) + np.arange(len(column))] = column
        first += of_users
    return values


def _check_later(path: Path, dataset: Dataset) -> None:
    """Check the interactions of users and items that came after training.

    Raises:
        InputError: if they are no triples, not sorted, out of range, or have a user and an item of training.
    """
    later = dataset.later
    assert later is not None
    if later.shape[1] != 3:
        raise InputError(f"{path}: shape {later.shape}; expected [n, 3]: user, item, position")
    n_users, n_items = len(dataset.user_ids), len(dataset.item_ids)
    check_range(path, later[:, 0], n_users)
    check_range(path, later[:, 1], n_items)
    of_user = np.sum(dataset._counts_of_parts("later"), axis=0)[later[:, 0]]
    follows = (np.diff(later[:, 0]) > 0) | ((np.diff(later[:, 0]) == 0) & (np.diff(later[:, 2]) > 0))
    if not follows.all() or (later[:, 2] < 0).any() or (later[:, 2] >= of_user).any():
        raise InputError(
            f"{path}: expected users, and the positions of each user below its positives, in ascending order"
        )
    if ((later[:, 0] < dataset.n_users) & (later[:, 1] < dataset.n_items)).any():
        raise InputError(f"{path}: a user and an item of training; expected one that came later, with a higher index")
