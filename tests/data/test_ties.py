"""Interactions of a user at the same time: in an order that no item gains from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ncf.data.filtering import select
from ncf.data.reading import Interactions
from ncf.data.split import TEST, TRAIN, VALIDATION, Split, leave_one_out, temporal

USERS, ITEMS = 400, 8
GOLDEN = [0, 2, 4, 5, 7, 6, 1, 3, 1, 2, 4, 0, 5, 6, 3, 7]  # items of the first two users


def tied(seed: int = 0) -> Interactions:
    """Users with an earliest item and ``ITEMS`` latest ones at one time, in random order of rows."""
    user = np.repeat(np.arange(USERS, dtype=np.int32), ITEMS)
    item = np.tile(np.arange(ITEMS, dtype=np.int32), USERS)
    time = np.where(item == user % ITEMS, 1_000_000, 2_000_000).astype(np.int64)
    ids = [f"u{number}" for number in range(USERS)], [f"i{number}" for number in range(ITEMS)]
    rows = np.random.default_rng(seed).permutation(len(user))
    return select(Interactions(user, item, None, time, *ids, []), rows)


def part(split: Split, number: int) -> list[list[int]]:
    pairs: list[list[int]] = split.pairs(number).tolist()
    return pairs


@pytest.mark.parametrize("number", [TEST, VALIDATION])
def test_no_item_is_held_out_more_often_for_its_id(number: int) -> None:
    found = Counter(item for seed in range(10) for _, item in part(leave_one_out(tied(), seed), number))
    expected = 10 * USERS / ITEMS
    assert sum((found[item] - expected) ** 2 / expected for item in range(ITEMS)) < 24.3  # chi-square, p = 0.001


def test_the_order_of_rows_makes_no_difference() -> None:
    one, two = leave_one_out(tied(), 1), leave_one_out(tied(seed=1), 1)
    assert [part(one, number) for number in (TRAIN, VALIDATION, TEST)] == [
        part(two, number) for number in (TRAIN, VALIDATION, TEST)
    ]


def test_the_order_of_ids_makes_no_difference() -> None:
    table = tied()
    turned = Interactions(
        np.int32(USERS - 1) - table.user, np.int32(ITEMS - 1) - table.item, None, table.time,
        table.user_ids[::-1], table.item_ids[::-1], [],
    )  # fmt: skip
    held_out = {(USERS - 1 - user, ITEMS - 1 - item) for user, item in part(leave_one_out(turned, 1), TEST)}
    assert held_out == {(user, item) for user, item in part(leave_one_out(table, 1), TEST)}


def test_each_of_a_hundred_seeds_holds_out_other_items() -> None:
    table = tied()
    assert len({str(part(leave_one_out(table, seed), TEST)) for seed in range(100)}) == 100


def test_users_with_the_same_ties_have_other_orders() -> None:
    assert len({str(tied_items) for tied_items in np.split(leave_one_out(tied(), 1).item, USERS)}) > USERS * 0.9


def test_the_order_is_the_same_on_every_machine() -> None:
    split = leave_one_out(tied(), 1)
    assert split.item[: 2 * ITEMS].tolist() == GOLDEN


def test_a_temporal_split_orders_ties_by_the_seed() -> None:
    table = tied()
    turn = (table.user + table.item) % ITEMS
    time = np.where(turn < ITEMS - 2, 0, turn).astype(np.int64) * 1_000_000
    one, two = (
        temporal(replace(table, time=time), (ITEMS - 1) * 1_000_000, (ITEMS - 2) * 1_000_000, seed) for seed in (1, 2)
    )
    assert sorted(part(one, TRAIN)) == sorted(part(two, TRAIN))
    assert part(one, TRAIN) != part(two, TRAIN)
    assert part(one, TRAIN) != sorted(part(one, TRAIN))
