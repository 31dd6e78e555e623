"""Which positives are held out: one for validation and one for test of each user, or all from a date on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.dataset import Dataset, Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings
from ncf.data.numbers import MICROSECONDS
from ncf.data.reading import Interactions
from ncf.errors import InputError

FEWEST_TO_HOLD_OUT = 3
"""Positives of a user of whom a validation and a test item are held out: one stays for training."""
TRAIN, VALIDATION, TEST = 0, 1, 2
_KEY_BITS = 63
_MOST_BLOCK_BITS = 6  # of the number of blocks of users that are sorted one by one
_LOOKED_AT_ONCE = 1 << 20
_DAY = 24 * 3600 * MICROSECONDS


@dataclass(frozen=True)
class Split:
    """Interactions sorted by user, then time, then item, and the part that each is in.

    Attributes:
        user, item: int32 [n].
        part: int8 [n]: TRAIN, VALIDATION or TEST.
        unknown: held-out interactions that were dropped, their user or item being absent from training.
        day: int32 [n], days since 1970 UTC, or None without times.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    part: NDArray[np.int8]
    unknown: int = 0
    day: NDArray[np.int32] | None = None

    def pairs(self, part: int) -> Pairs:
        """(user, item) of one part, int32 [n, 2], sorted by user."""
        rows = self.part == part
        return np.stack([self.user[rows], self.item[rows]], axis=1)

    def dataset(
        self,
        user_ids: Sequence[str],
        item_ids: Sequence[str],
        titles: Sequence[str] | None = None,
        test_negatives: NDArray[np.int32] | None = None,
    ) -> Dataset:
        """The data set of this split; ids and titles are of its indices."""
        train = self.part == TRAIN
        day = self.day
        return Dataset(
            train=ItemsByUser.of_sorted(self.user[train], self.item[train], len(user_ids)),
            validation=self.pairs(VALIDATION),
            test=self.pairs(TEST),
            user_ids=Strings.of(user_ids),
            item_ids=Strings.of(item_ids),
            item_titles=None if titles is None else Strings.of(titles),
            test_negatives=test_negatives,
            days=None
            if day is None
            else np.concatenate([day[self.part == part] for part in (TRAIN, VALIDATION, TEST)]),
        )


def by_time(interactions: Interactions) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """User, item and time sorted by user, then time, then item: the same for every order of rows.

    Without times (all 0 then) it is by user and item.
    """
    user, item = interactions.user, interactions.item
    if interactions.time is None:
        key = np.sort(user.astype(np.int64) << 32 | item)
        return (key >> 32).astype(np.int32), (key & 0xFFFFFFFF).astype(np.int32), np.zeros(len(key), np.int64)
    start = interactions.time.min()
    time = interactions.time - start
    parts = range(0, len(time), _LOOKED_AT_ONCE)
    is_whole = not any((time[part : part + _LOOKED_AT_ONCE] % MICROSECONDS).any() for part in parts)
    unit = MICROSECONDS if is_whole else 1
    time //= unit
    time_bits, item_bits = int(time.max()).bit_length(), int(item.max()).bit_length()
    user_bits, room = int(user.max()).bit_length(), _KEY_BITS - time_bits - item_bits
    if user_bits > room:
        if room > 0 and user_bits - room <= _MOST_BLOCK_BITS:
            del time
            return _by_time_in_blocks(interactions, 1 << room)
        order = np.lexsort((item, time, user))
        return user[order], item[order], time[order] * unit + start
    # one number holds all three, and sorting numbers is several times faster than sorting indices
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
    """As :func:`by_time`, so many users at a time that each block's numbers fit."""
    assert interactions.time is not None
    user, item = np.empty_like(interactions.user), np.empty_like(interactions.item)
    time = np.empty_like(interactions.time)
    end = 0
    for block in range(int(interactions.user.max()) // width + 1):
        rows = np.flatnonzero(interactions.user // width == block)
        if not len(rows):
            continue
        place = slice(end, end := end + len(rows))
        own = replace(
            interactions,
            user=interactions.user[rows] - np.int32(block * width),
            item=interactions.item[rows],
            rating=None,
            time=interactions.time[rows],
        )
        user[place], item[place], time[place] = by_time(own)
        user[place] += np.int32(block * width)
    return user, item, time


def leave_one_out(interactions: Interactions, seed: int) -> Split:
    """Hold out each user's latest item for test and the one before it for validation.

    This is the protocol of He et al. 2017, section 4.1. Of items at the same time the last by id counts as the
    latest. Without times both are drawn by ``seed``. Users with fewer than three positives keep all of them in
    training.

    Raises:
        InputError: if no user has three.
    """
    user, item, time = by_time(interactions)
    offsets = _offsets(user)
    counts = np.diff(offsets)
    enough = counts >= FEWEST_TO_HOLD_OUT
    if not enough.any():
        raise InputError(
            f"no user has {FEWEST_TO_HOLD_OUT} positives, so none can be held out; "
            "lower min_rating or min_item_interactions, or give more interactions"
        )
    part = np.full(len(user), TRAIN, np.int8)
    if interactions.time is None:
        test, validation = (offsets[:-1] + place for place in draw_two(counts, seed))
    else:
        test, validation = offsets[1:] - 1, offsets[1:] - 2
    part[test[enough]] = TEST
    part[validation[enough]] = VALIDATION
    return Split(user, item, part, day=None if interactions.time is None else _days(time))


def draw_two(counts: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two different places in [0, count) for each count, int64 [counts] each (alike where a count is 1)."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, np.maximum(counts, 1))
    return first, (first + rng.integers(1, np.maximum(counts, 2))) % np.maximum(counts, 1)


def temporal(interactions: Interactions, test_after: int, validation_after: int | None) -> Split:
    """Hold out everything from a time on: test at or after ``test_after``, validation before it likewise.

    Held-out interactions whose user or item does not occur in training are dropped.

    Args:
        test_after, validation_after: microseconds since 1970 UTC; without the second, validation is the latest
            tenth of what precedes the first.

    Raises:
        InputError: if training, validation or test would be empty.
    """
    user, item, time = by_time(interactions)
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
                f"no {name} interaction is of a user and an item known in training; choose later dates; {span}"
            )
    return Split(user[known], item[known], part[known], int(len(known) - known.sum()), _days(time[known]))


def _days(time: NDArray[np.int64]) -> NDArray[np.int32]:
    """Days since 1970 UTC of microseconds since then, int32 [n]; ``time`` is overwritten."""
    time //= _DAY
    return time.astype(np.int32)


def as_date(time: int) -> str:
    """``2024-05-31 12:00:00`` of microseconds since 1970 UTC."""
    return str(np.datetime64(time, "us").astype("datetime64[s]")).replace("T", " ")


def _offsets(user: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where each user's rows begin and end among sorted users, int64 [users + 1]."""
    offsets = np.zeros(int(user.max()) + 2, np.int64)
    np.cumsum(np.bincount(user), out=offsets[1:])
    return offsets
