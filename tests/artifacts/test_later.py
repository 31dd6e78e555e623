"""Interactions of users and items that came after training, which only what is hosted is fitted on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ncf.artifacts.dataset import Dataset
from ncf.data.preparation import Settings, prepare
from ncf.errors import InputError

ROWS = [
    *(("a", f"i{step}", step) for step in range(4)),
    *(("b", f"i{3 - step}", step) for step in range(4)),
    *(("a", "late", 4.5), ("a", "i4", 5), ("b", "i4", 4), ("c", "i1", 6), ("c", "late", 7)),
    *(("a", "i5", 3.5), ("b", "i5", 5), ("b", "i6", 3.2)),
]
"""User, item and day: training ends on day 3, the test starts on day 5; 'late', 'i4', 'i5', 'i6' and user 'c' are new."""


def prepared(tmp_path: Path, **settings: object) -> Dataset:
    rows = [*ROWS, ("a", "i7", 0), ("b", "i7", 5.5), ("b", "i8", 0), ("a", "i8", 4)]
    lines = [f"{user},{item},{int(day * 86400)},w{len(item)}" for user, item, day in rows]
    (tmp_path / "a.csv").write_text("\n".join(["user,item,timestamp,event_type", *lines]))
    day = 86_400
    temporal = {"split": "temporal", "validation_after": str(3 * day), "test_after": str(5 * day)}
    made = prepare(tmp_path / "a.csv", Settings(**temporal, **settings)).dataset  # type: ignore[arg-type]
    made.save(tmp_path / "dataset", {}, {})
    return Dataset.load(tmp_path / "dataset")


def test_all_positives_are_in_order_of_time_and_the_new_ones_have_the_highest_indices(tmp_path: Path) -> None:
    data = prepared(tmp_path, event_weights={"w2": 1, "w4": 3})
    assert data.user_ids[: data.n_users] == ["a", "b"]
    assert list(data.user_ids) == ["a", "b", "c"]
    assert set(data.item_ids[data.n_items :]) == {"i3", "late", "i4", "i5", "i6"} - set(data.item_ids[: data.n_items])
    positives = data.positives()
    for number, user in enumerate(data.user_ids):
        expected = sorted((day, item) for owner, item, day in ROWS if owner == user)
        found = [data.item_ids[item] for item in positives.of_user(number)]
        assert [item for item in found if item not in ("i7", "i8")] == [item for _, item in expected]
    weights, days = data.positive_weights(), data.positive_days()
    assert weights is not None
    assert days is not None
    assert [3 if data.item_ids[item] == "late" else 1 for item in positives.items] == weights.tolist()
    for first, last in zip(positives.offsets[:-1].tolist(), positives.offsets[1:].tolist(), strict=True):
        assert days[first:last].tolist() == sorted(days[first:last].tolist())


def test_the_evaluated_data_set_has_none_of_them(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    evaluated = data.evaluated()
    assert (evaluated.n_users, evaluated.n_items) == (len(evaluated.user_ids), len(evaluated.item_ids))
    assert evaluated.positives().items.tolist() == data.positives_up_to("test").items.tolist()
    evaluated.save(tmp_path / "evaluated", {}, {})
    assert not (tmp_path / "evaluated" / "later.npy").exists()
    assert Dataset.load(tmp_path / "evaluated").evaluated().later is None


def damaged(later: np.ndarray, column: int, value: int) -> np.ndarray:  # type: ignore[type-arg]
    other = later.copy()
    other[0, column] = value
    return other


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (0, 3, "indices from 0 to 3; expected 0 to 2"),
        (1, 99, "expected 0 to"),
        (1, 0, "a user and an item of training"),
        (2, 99, "ascending order"),
        (2, -1, "ascending order"),
        (0, 2, "ascending order"),
    ],
)
def test_damaged_ones_are_refused(column: int, value: int, said: str, tmp_path: Path) -> None:
    data = prepared(tmp_path)
    assert data.later is not None
    dataclasses.replace(data, later=damaged(data.later, column, value)).save(tmp_path / "other", {}, {})
    with pytest.raises(InputError, match=rf"later\.npy: .*{said}"):
        Dataset.load(tmp_path / "other")


def test_users_that_training_does_not_have_need_them(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    dataclasses.replace(data, later=None, days=None).save(tmp_path / "other", {}, {})
    with pytest.raises(InputError, match="2 users in train, but 3 user ids"):
        Dataset.load(tmp_path / "other")
