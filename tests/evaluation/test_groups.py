"""Groups of test positives: each belongs to one, and users, not rows, make quarters."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation.groups import by_activity, by_popularity


def train_of(counts: list[int]) -> ItemsByUser:
    """A user for each count, with so many items."""
    users = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    items = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    return ItemsByUser.of_sorted(users, items, len(counts))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_each_positive_is_in_one_group(counts: list[int], rows: int) -> None:
    users = np.repeat(np.arange(len(counts), dtype=np.int32), rows)
    test = np.column_stack([users, users % 7]).astype(np.int32)
    popularity = np.array([0, 1, 1, 2, 5, 9, 30])
    for groups in (by_activity(train_of(counts), test[:, 0]), by_popularity(popularity, test)):
        assert (np.sum([group.rows for group in groups], axis=0) == 1).all()
        assert all(group.rows.any() for group in groups)
        assert len({group.name for group in groups}) == len(groups) <= 4


def test_quarters_are_of_users() -> None:
    counts = [1, 2, 3, 4, 5, 6, 7, 2000]
    test = np.array([[user, 0] for user in range(8)] + [[7, item] for item in range(1, 50)], np.int32)
    groups = by_activity(train_of(counts), test[:, 0])
    assert [group.name for group in groups] == ["1 – 3", "4 – 5", "6 – 7", "2,000"]
    assert [np.unique(test[group.rows, 0]).tolist() for group in groups] == [[0, 1, 2], [3, 4], [5, 6], [7]]
    assert groups[-1].rows.sum() == 50


def test_users_who_are_all_alike_are_one_group() -> None:
    (group,) = by_activity(train_of([3, 3, 3]), np.arange(3, dtype=np.int32))
    assert group.name == "3"


def test_head_and_tail_take_as_many_interactions() -> None:
    popularity = np.array([60, 30, 30, *[1] * 60])  # a third each
    test = np.array([[0, item] for item in range(len(popularity))], np.int32)
    tail, mid, head = by_popularity(popularity, test)
    assert (tail.name, mid.name, head.name) == ("tail: 1", "mid: 30", "head: 60")
    assert [int(group.rows.sum()) for group in (tail, mid, head)] == [60, 2, 1]
