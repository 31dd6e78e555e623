"""Interactions beside the last good ones: what is refused, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ncf.artifacts.profile import MAX_DAYS, Profile
from ncf.data.comparison import compare
from ncf.data.comparison_settings import ComparisonSettings
from ncf.data.profiling import profile_of
from ncf.data.reading import columns, read_interactions
from ncf.data.units import DAY

NEWEST = 20_000 * DAY
COLUMNS = {"user": "user_id", "item": "item_id", "timestamp": "at"}


def profile(**changed: Any) -> Profile:
    values: dict[str, Any] = {
        "rows": 100_000, "users": 2000, "items": 500, "unreadable": 10, "columns": COLUMNS, "newest": NEWEST, "read": NEWEST + DAY // 8,
        "daily": [1000] * MAX_DAYS,
    }  # fmt: skip
    return Profile(**values | changed)


def beyond(now: Profile, last: Profile | None = None, clock: int = 0, **limits: float) -> set[str]:
    return {
        figure.name for figure in compare(now, last or profile(), limits, clock or now.read or 0) if not figure.holds
    }


def a_day_later(first: int, **changed: Any) -> Profile:
    """The data of the next day, of ``first`` rows."""
    return profile(
        **{"newest": NEWEST + DAY, "read": NEWEST + 9 * DAY // 8, "daily": [first, *[1000] * (MAX_DAYS - 1)]} | changed
    )


def test_the_same_data_and_those_of_a_normal_day_are_accepted() -> None:
    assert not beyond(profile())
    assert not beyond(a_day_later(1000, rows=101_000))


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"rows": 69_999}, "rows"),
        ({"users": 1000}, "users"),
        ({"items": 100}, "items"),
        ({"unreadable": 1500}, "unreadable"),
        ({"columns": {"user": "user_id", "item": "item_id"}}, "columns"),
        ({"newest": NEWEST - 1}, "older_days"),
    ],
)
def test_each_figure_has_a_limit(changed: dict[str, Any], name: str) -> None:
    assert beyond(profile(**changed)) == {name}
    assert not beyond(profile(**changed), **{name: 1})


def test_other_names_of_the_same_columns_are_accepted() -> None:
    assert not beyond(profile(columns={**COLUMNS, "user": "customer", "rating": "stars"}))


def test_half_a_day_at_the_end_of_whole_weeks_is_refused() -> None:
    assert beyond(a_day_later(500)) == {"rows_a_day"}
    assert not beyond(a_day_later(750))
    assert not beyond(a_day_later(500), rows_a_day=0.5)


def test_a_day_that_ends_at_noon_is_refused() -> None:
    noon = a_day_later(1000, newest=NEWEST + DAY // 2)
    assert beyond(noon) == {"lag_days"}, "read at three o'clock, 15 hours later, and 3 hours later the day before"
    assert not beyond(noon, lag_days=0.5)
    assert not beyond(noon.model_copy(update={"read": NEWEST + 5 * DAY // 8})), "read at noon"
    assert not beyond(noon, profile(read=None)), "the last good data were not read in a run"


def test_a_day_without_any_row_is_refused() -> None:
    now = profile(newest=NEWEST + 3 * DAY, read=NEWEST + 3 * DAY, daily=[1000, 0, 1000, *[1000] * 25])
    assert beyond(now) == {"rows_a_day"}


def test_a_row_of_the_far_future_is_refused() -> None:
    assert beyond(profile(newest=NEWEST + 10_000 * DAY, daily=[1, *[0] * 27])) == {"rows_a_day"}


def test_days_are_compared_with_the_same_weekday() -> None:
    week = [1000, 1000, 1000, 1000, 1000, 200, 200]  # the newest first: two days of few rows before five of many
    last = profile(daily=week * 4)
    assert beyond(a_day_later(0, daily=[200, *week * 3]), last) == set(), "as a week before"
    assert beyond(profile(newest=NEWEST + 3 * DAY, read=NEWEST + 3 * DAY, daily=[500, 200, 200, *week * 3]), last) == {
        "rows_a_day"
    }


def test_days_that_vary_more_than_the_limit_are_accepted() -> None:
    rng = np.random.default_rng(1)
    bursts = (rng.pareto(1, MAX_DAYS) * 50).astype(int).tolist()
    assert not beyond(a_day_later(min(bursts[6::7]) + 1), profile(daily=bursts))


def test_few_rows_a_day_are_not_compared() -> None:
    assert not beyond(a_day_later(0), profile(daily=[20] * MAX_DAYS))


def test_the_age_is_checked_on_request() -> None:
    later = profile(read=NEWEST + 3 * DAY)
    assert beyond(later, age_days=2) == {"age_days"}
    assert not beyond(later, age_days=4)
    assert not beyond(later), "the same data as before"


def test_data_without_times_are_compared_by_their_counts() -> None:
    timeless = profile(newest=None, daily=[], columns={})
    assert not beyond(timeless, timeless)
    assert beyond(timeless.model_copy(update={"rows": 50_000}), timeless) == {"rows"}


@pytest.mark.parametrize("limit", ["older_days", "lag_days", "age_days"])
@pytest.mark.parametrize("days", [1e9, 1e300])
def test_a_limit_may_be_longer_than_any_time(limit: str, days: float) -> None:
    assert not beyond(a_day_later(1000, read=NEWEST + DAY), **{limit: days})


@pytest.mark.parametrize("limit", [-1.0, float("nan"), float("inf")])
def test_a_limit_is_a_finite_number(limit: float) -> None:
    with pytest.raises(ValueError, match="expected 0 or more, and finite"):
        ComparisonSettings(limits={"rows": limit})


@pytest.mark.parametrize(
    "changed",
    [{"daily": []}, {"read": 2**63 - 1}, {"read": -(2**63)}, {"newest": -(2**63)}, {"newest": 2**63 - 1}, {"rows": 2**63 - 1}],
)  # fmt: skip
def test_a_profile_from_outside_ends_nothing(changed: dict[str, Any]) -> None:
    for figure in compare(a_day_later(1000), profile(**changed), {}, NEWEST):
        assert str(figure)


@pytest.mark.parametrize(
    "changed", [{"rows": 10**400}, {"newest": 10**30}, {"read": -(10**30)}, {"daily": [10**400]}, {"daily": [-1]}]
)
def test_a_profile_has_numbers_of_64_bits(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        profile(**changed)


def test_the_days_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    hours = [0, 1, 23.9, 24.1, 30, 49, 71.9]
    path.write_text("user,item,timestamp\n" + "".join(f"u{h},i{h},{1_700_000_000 - int(h * 3600)}\n" for h in hours))
    found = profile_of(read_interactions(path, columns()))
    assert found.daily == [3, 2], "the third period is not a whole one"
    assert (found.rows, found.users, found.items) == (7, 7, 7)
    assert found.newest == 1_700_000_000_000_000
    path.write_text("user,item,timestamp\na,b,5\nb,b,7\n")
    assert profile_of(read_interactions(path, columns())).daily == [2]
