"""Filtering and splitting, whatever the interactions are."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ncf.data.filtering import core, merge_duplicates
from ncf.data.preparation import Prepared, Settings, prepare
from ncf.data.reading import Interactions
from ncf.data.split import by_time, draw_two
from ncf.errors import InputError

IDS = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters='",'), min_size=1, max_size=4)
ROW = st.tuples(st.sampled_from("abcde"), st.sampled_from("pqrstuvw"), st.integers(0, 10), st.integers(-5, 12))
ROWS = st.lists(ROW, min_size=8, max_size=60)
Row = tuple[str, str, int, int]


def prepared(rows: list[Row], **changes: object) -> Prepared:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        lines = ["user,item,rating,timestamp", *(",".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines))
        try:
            return prepare(path, Settings(**changes))  # type: ignore[arg-type]
        except InputError:
            assume(False)
            raise


def parts(result: Prepared) -> list[list[tuple[str, str]]]:
    data = result.dataset
    train = zip(data.train.users().tolist(), data.train.items.tolist(), strict=True)
    return [
        [(data.user_ids[user], data.item_ids[item]) for user, item in pairs]
        for pairs in (train, data.validation.tolist(), data.test.tolist())
    ]


@given(ROWS, st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_every_positive_is_in_exactly_one_part(rows: list[Row], min_rating: int) -> None:
    train, validation, test = parts(prepared(rows, min_rating=float(min_rating)))
    best: dict[tuple[str, str], tuple[int, int]] = {}
    for user, item, rating, time in rows:
        best[user, item] = max(best.get((user, item), (time, rating)), (time, rating))
    positives = {pair for pair, (_, rating) in best.items() if rating >= min_rating}
    found = Counter([*train, *validation, *test])
    assert set(found) == positives
    assert set(found.values()) == {1}
    counts = Counter(user for user, _ in positives)
    for part in (validation, test):
        assert Counter(user for user, _ in part) == {user: 1 for user, count in counts.items() if count >= 3}


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_held_out_items_are_the_latest(rows: list[Row]) -> None:
    assume(len({row[3] for row in rows}) > 1)
    train, validation, test = parts(prepared(rows))
    latest = {(user, item): max(r[3] for r in rows if r[:2] == (user, item)) for user, item, _, _ in rows}
    for user in {user for user, _ in test}:
        order = [pair for part in (train, validation, test) for pair in part if pair[0] == user]
        assert [latest[pair] for pair in order] == sorted(latest[pair] for pair in order)


@given(ROWS, st.randoms(use_true_random=False), st.sampled_from(["latest", "first"]), st.integers(0, 8))
@settings(deadline=None, max_examples=60)
def test_order_of_rows_does_not_matter(rows: list[Row], random: object, keep: str, min_rating: int) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assume(len({row[3] for row in rows}) > 1)
    changes = {"duplicates": keep, "min_rating": float(min_rating)}
    one, two = prepared(rows, **changes), prepared(shuffled, **changes)
    assert parts(one) == parts(two)
    assert list(one.dataset.user_ids) == list(two.dataset.user_ids)
    assert list(one.dataset.item_ids) == list(two.dataset.item_ids)
    assert one.metrics() == two.metrics()


@given(st.lists(ROW, min_size=40, max_size=80), st.integers(6, 9), st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_temporal_training_ends_before_validation_and_that_before_test(
    rows: list[Row], test_after: int, validation_after: int
) -> None:
    result = prepared(rows, split="temporal", test_after=str(test_after), validation_after=str(validation_after))
    latest = {(user, item): max(r[3] for r in rows if r[:2] == (user, item)) for user, item, _, _ in rows}
    train, validation, test = parts(result)
    assert all(latest[pair] < validation_after for pair in train)
    assert all(validation_after <= latest[pair] < test_after for pair in validation)
    assert all(latest[pair] >= test_after for pair in test)
    known = [{pair[column] for pair in train} for column in (0, 1)]
    assert all(user in known[0] and item in known[1] for user, item in validation + test)
    assert len(train) + len(validation) + len(test) + result.metrics()["dropped_unknown"] == len(latest)


@given(st.lists(IDS, min_size=3, max_size=12, unique=True))
@settings(deadline=None, max_examples=60)
def test_ids_come_back(ids: list[str]) -> None:
    result = prepared([(user, item, 1, time) for user in ids for time, item in enumerate(ids)])
    assert set(result.dataset.user_ids) == set(result.dataset.item_ids) == set(ids)


@given(ROWS, st.integers(1, 4), st.integers(1, 4))
@settings(deadline=None)
def test_core_is_the_largest_in_which_all_have_enough(rows: list[Row], min_user: int, min_item: int) -> None:
    pairs = {row[:2] for row in rows}
    left = core(interactions(sorted(pairs)), min_user, min_item, lambda *_: None)
    expected, before = set(pairs), None
    while before != expected:  # one pair at a time, by the definition
        before = set(expected)
        for pair in before:
            users, items = Counter(u for u, _ in expected), Counter(i for _, i in expected)
            if users[pair[0]] < min_user or items[pair[1]] < min_item:
                expected.discard(pair)
    assert {(left.user_ids[u], left.item_ids[i]) for u, i in zip(left.user, left.item, strict=True)} == expected


def interactions(pairs: list[tuple[str, str]], time: list[int] | None = None) -> Interactions:
    users, items = (sorted({pair[column] for pair in pairs}) for column in (0, 1))
    return Interactions(
        np.array([users.index(user) for user, _ in pairs], np.int32),
        np.array([items.index(item) for _, item in pairs], np.int32),
        None,
        None if time is None else np.array(time, np.int64),
        users,
        items,
        [],
    )


@pytest.mark.parametrize(
    "scale",
    [1, 1_000_000, (1 << 45) + 1, 1 << 50],
    ids=["microseconds", "seconds", "too wide for one number of all users", "too wide for one number"],
)
def test_rows_are_sorted_by_user_and_time(scale: int) -> None:
    rng = np.random.default_rng(0)
    user, item = (rng.integers(0, 1 << 20, 3000, dtype=np.int32) % 97 for _ in range(2))
    time = rng.integers(-50, 50, 3000) * scale
    ids = [str(number) for number in range(97)]
    table = Interactions(user, item, None, time, ids, ids, [])
    found = list(zip(*(column.tolist() for column in by_time(table, 1)), strict=True))
    rows = zip(user.tolist(), item.tolist(), time.tolist(), strict=True)
    assert [(row[0], row[2]) for row in found] == sorted((row[0], row[2]) for row in found)
    assert Counter(found) == Counter(rows)


def test_without_repeats_nothing_is_merged() -> None:
    table = interactions([("a", "x"), ("a", "y"), ("b", "x")])
    assert merge_duplicates(table, "latest") is table


def test_two_drawn_places_differ_and_are_uniform() -> None:
    counts = np.full(60_000, 4)
    pairs = np.stack(draw_two(counts, 0), axis=1)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    _, found = np.unique(pairs, axis=0, return_counts=True)
    assert len(found) == 12
    assert ((found - 5000) ** 2 / 5000).sum() < 31.3  # chi-square, 11 degrees of freedom, p = 0.001
