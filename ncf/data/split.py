"""Split of positives into training, validation and test: leave-one-out or temporal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings
from ncf.data.reading import Interactions
from ncf.data.ties import break_ties
from ncf.data.times import as_date
from ncf.data.units import DAY, MICROSECONDS
from ncf.errors import InputError

MIN_POSITIVES = 3
"""Lowest number of positives of a user with held-out items: one stays for training."""
TRAIN, VALIDATION, TEST, LATER = 0, 1, 2, 3
_KEY_BITS = 63
_MAX_BLOCK_BITS = 6  # up to 64 blocks of users are sorted one by one
_TIMES_PER_BLOCK = 1 << 20
_Value = TypeVar("_Value", np.int32, np.float32)


@dataclass(frozen=True)
class Split:
    """Interactions sorted by user, then time, with the part of each.

    Attributes:
        user, item: int32 [n].
        part: int8 [n]: TRAIN, VALIDATION, TEST, or LATER for held-out interactions that cannot be evaluated, as user or
            item do not occur in training.
        day: int32 [n], days since 1970 UTC, or None without times.
        weight: float32 [n], or None without event types.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    part: NDArray[np.int8]
    day: NDArray[np.int32] | None = None
    weight: NDArray[np.float32] | None = None

    def pairs(self, part: int) -> Pairs:
        """Pairs (user, item) of one part, int32 [n, 2], sorted by user."""
        rows = self.part == part
        return np.stack([self.user[rows], self.item[rows]], axis=1)

    def by_user(self) -> Split:
        """The same, sorted by user; the order of a user's interactions is kept."""
        if not (self.part == LATER).any():
            return self  # users are renumbered in their order
        order = np.argsort(self.user, kind="stable")
        day = None if self.day is None else self.day[order]
        weight = None if self.weight is None else self.weight[order]
        return Split(self.user[order], self.item[order], self.part[order], day, weight)

    def dataset(
        self,
        user_ids: Sequence[str],
        item_ids: Sequence[str],
        titles: Sequence[str] | None = None,
        test_negatives: NDArray[np.int32] | None = None,
    ) -> Dataset:
        """Data set of this split, with the ids and titles of its indices."""
        train, later = self.part == TRAIN, self.part == LATER
        n_users = int(self.user[~later].max()) + 1 if later.any() else len(user_ids)
        return Dataset(
            train=ItemsByUser.of_sorted(self.user[train], self.item[train], n_users),
            validation=self.pairs(VALIDATION),
            test=self.pairs(TEST),
            user_ids=Strings.of(user_ids),
            item_ids=Strings.of(item_ids),
            item_titles=None if titles is None else Strings.of(titles),
            test_negatives=test_negatives,
            days=None if self.day is None else self._by_part(self.day),
            weights=None if self.weight is None else self._by_part(self.weight),
            later=self._later() if later.any() else None,
        )

    def _later(self) -> NDArray[np.int32]:
        """User, item and position among the user's interactions of those that are LATER, int32 [n, 3]."""
        position = np.arange(len(self.user)) - np.searchsorted(self.user, self.user)
        rows = self.part == LATER
        return np.stack([self.user[rows], self.item[rows], position[rows].astype(np.int32)], axis=1)

    def _by_part(self, values: NDArray[_Value]) -> NDArray[_Value]:
        """Values of the interactions for training, then validation, test and later ones."""
        return np.concatenate([values[self.part == part] for part in (TRAIN, VALIDATION, TEST, LATER)])


def by_time(interactions: Interactions, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """User, item and time, sorted by user, then time. The result does not depend on the order of rows.

    Ties in time are broken by a hash of seed, user and item. Without times the order is by user and item, and the
    times are 0.
    """
    user, item, time = _by_time_and_item(interactions)
    if interactions.time is not None:
        break_ties(user, item, time, (interactions.user_ids, interactions.item_ids), seed)
    return user, item, time


def _by_time_and_item(
    interactions: Interactions,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """User, item and time, sorted by user, then time, then item."""
    user, item = interactions.user, interactions.item
    if interactions.time is None:
        key = np.sort(user.astype(np.int64) << 32 | item)
        return (key >> 32).astype(np.int32), (key & 0xFFFFFFFF).astype(np.int32), np.zeros(len(key), np.int64)
    start = interactions.time.min()
    time = interactions.time - start
    parts = range(0, len(time), _TIMES_PER_BLOCK)
    is_whole = not any((time[part : part + _TIMES_PER_BLOCK] % MICROSECONDS).any() for part in parts)
    unit = MICROSECONDS if is_whole else 1
    time //= unit
    time_bits, item_bits = int(time.max()).bit_length(), int(item.max()).bit_length()
    user_bits, room = int(user.max()).bit_length(), _KEY_BITS - time_bits - item_bits
    if user_bits > room:
        if room > 0 and user_bits - room <= _MAX_BLOCK_BITS:
            del time
            return _by_time_in_blocks(interactions, 1 << room)
        order = np.lexsort((item, time, user))
        return user[order], item[order], time[order] * unit + start
    # user, time and item in one number: sorting numbers is several times faster than sorting indices
    key = user.astype(np.int64)
    for bits, part in ((time_bits, time), (item_bits, item)):
        key <<= bits
        key |= part
    del time, part
    key.sort()
    item = (key & ((1 << item_bits) - 1)).astype(np.int32)
    key >>= item_bits
    user = (key >> time_bits).astype(np.int32)
    key &= (1 << time_bits) - 1
    key *= unit
    key += start
    return user, item, key


def _by_time_in_blocks(
    interactions: Interactions, width: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Result of :func:`_by_time_and_item`, for blocks of ``width`` users whose numbers fit into 63 bits."""
    assert interactions.time is not None
    user, item = np.empty_like(interactions.user), np.empty_like(interactions.item)
    time = np.empty_like(interactions.time)
    end = 0
    for block in range(int(interactions.user.max()) // width + 1):
        rows = np.flatnonzero(interactions.user // width == block)
        if not len(rows):
            continue
        target = slice(end, end := end + len(rows))
        own = replace(
            interactions,
            user=interactions.user[rows] - np.int32(block * width),
            item=interactions.item[rows],
            rating=None,
            time=interactions.time[rows],
            event=None,
            weight=None,
        )
        user[target], item[target], time[target] = _by_time_and_item(own)
        user[target] += np.int32(block * width)
    return user, item, time


def leave_one_out(interactions: Interactions, seed: int) -> Split:
    """Leave-one-out split: the latest item of each user is for test, the one before it for validation.

    This is the protocol of He et al. 2017, section 4.1. Ties in time are broken by a hash of seed, user and item.
    Without times both items are drawn by ``seed``. Users with fewer than three positives keep all of them in training.

    Raises:
        InputError: if no user has three positives.
    """
    user, item, time = by_time(interactions, seed)
    offsets = _offsets(user)
    counts = np.diff(offsets)
    enough = counts >= MIN_POSITIVES
    if not enough.any():
        raise InputError(
            f"no user has {MIN_POSITIVES} positives, so none can be held out: {np.count_nonzero(counts):,} users have "
            f"{len(user):,} positives, {counts.max()} at most; lower min_rating or min_item_interactions, give more "
            "interactions, or name another column of users with user_column"
        )
    part = np.full(len(user), TRAIN, np.int8)
    if interactions.time is None:
        test, validation = (offsets[:-1] + drawn for drawn in draw_two(counts, seed))
    else:
        test, validation = offsets[1:] - 1, offsets[1:] - 2
    part[test[enough]] = TEST
    part[validation[enough]] = VALIDATION
    return Split(user, item, part, day=None if interactions.time is None else _days(time))


def draw_two(counts: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two distinct draws from [0, count) for each count, int64 [counts] each; both are 0 where a count is 1."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, np.maximum(counts, 1))
    return first, (first + rng.integers(1, np.maximum(counts, 2))) % np.maximum(counts, 1)


def temporal(interactions: Interactions, test_after: int, validation_after: int | None, seed: int) -> Split:
    """Temporal split: test from ``test_after`` on, validation from ``validation_after`` to ``test_after``.

    Held-out interactions whose user or item does not occur in training are LATER.

    Args:
        interactions: to split.
        test_after: microseconds since 1970 UTC.
        validation_after: microseconds since 1970 UTC; None for the latest tenth before ``test_after``.
        seed: seed of the order of a user's interactions at the same time.

    Raises:
        InputError: if training, validation or test would be empty.
    """
    user, item, time = by_time(interactions, seed)
    span = f"the interactions run from {as_date(int(time.min()))} to {as_date(int(time.max()))}"
    before = time < test_after
    if before.all() or not before.any():
        empty = "test" if before.all() else "training"
        raise InputError(f"test_after is {as_date(test_after)}, which leaves no {empty} data; {span}")
    if validation_after is None:
        earlier = np.sort(time[before])
        validation_after = int(earlier[len(earlier) * 9 // 10])
    elif validation_after >= test_after:
        raise InputError(
            f"validation_after is {as_date(validation_after)}; it must be before test_after, {as_date(test_after)}"
        )
    part = (time >= validation_after).astype(np.int8) + ~before
    for number, name in ((TRAIN, "training"), (VALIDATION, "validation")):
        if not (part == number).any():
            raise InputError(f"validation_after is {as_date(validation_after)}, which leaves no {name} data; {span}")
    train = part == TRAIN
    known = (np.bincount(user[train], minlength=user.max() + 1) > 0)[user]
    known &= (np.bincount(item[train], minlength=item.max() + 1) > 0)[item]
    for number, name in ((VALIDATION, "validation"), (TEST, "test")):
        if not (known & (part == number)).any():
            raise InputError(
                f"no {name} interaction has a user and an item that occur in training; choose later dates; {span}"
            )
    part[~known] = LATER
    return Split(user, item, part, _days(time))


def _days(time: NDArray[np.int64]) -> NDArray[np.int32]:
    """Days since 1970 UTC of times in microseconds, int32 [n]. ``time`` is overwritten."""
    time //= DAY
    return time.astype(np.int32)


def _offsets(user: NDArray[np.int32]) -> NDArray[np.int64]:
    """First row of each user among sorted users, and the number of rows, int64 [users + 1]."""
    offsets = np.zeros(int(user.max()) + 2, np.int64)
    np.cumsum(np.bincount(user), out=offsets[1:])
    return offsets
