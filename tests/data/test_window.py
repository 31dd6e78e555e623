"""The time window: events from a date on, or of the last days."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ncf.data.preparation import Prepared, Settings, prepare
from ncf.errors import InputError

USERS, DAYS = 3, 20
NOONS = np.datetime64("2024-01-01T12:00:00") + np.arange(DAYS).astype("timedelta64[D]")
FORMS = {
    "dates": [f"{time}Z" for time in NOONS],
    "seconds": NOONS.astype("datetime64[s]").astype(int).tolist(),
    "milliseconds": NOONS.astype("datetime64[ms]").astype(int).tolist(),
}
"""Times of the same days in January 2024."""


def made(folder: Path, times: list[object], **changes: object) -> Prepared:
    """A data set in which each user has one event, of another item, at each time."""
    rows = [f"u{user},i{place},{time}\n" for place, time in enumerate(times) for user in range(USERS)]
    (folder / "a.csv").write_text("user,item,timestamp\n" + "".join(rows))
    return prepare(folder / "a.csv", Settings(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("window", "first"),
    [
        ({"since": "2024-01-05"}, 5),
        ({"since": "2024-01-05T12:00:00Z"}, 5),
        ({"since": "2024-01-05T12:00:01"}, 6),
        ({"since": "2024-01-05T14:00:01+02:00"}, 6),
        ({"since": "20240105"}, 5),
        ({"since": "1704456000"}, 5),  # 2024-01-05 12:00 in seconds
        ({"since": "1704456000001"}, 6),  # and in milliseconds
        ({"days": 4}, 17),
        ({"days": 6, "since": "2024-01-17"}, 17),
        ({"days": 4, "since": "2024-01-02"}, 17),
    ],
)
def test_earlier_events_are_left_out(form: str, window: dict[str, object], first: int, tmp_path: Path) -> None:
    result = made(tmp_path, FORMS[form], **window)
    assert result.metrics()["dropped_outside_window"] == USERS * (first - 1)
    assert result.choice.window is not None
    assert result.choice.window.kept == USERS * (DAYS + 1 - first)
    assert result.time is not None
    assert result.time.min() == NOONS[first - 1].astype("datetime64[us]").astype(int)


def test_the_window_of_a_parquet_file(tmp_path: Path) -> None:
    columns = {
        "user": [f"u{user}" for user in range(USERS) for _ in NOONS],
        "item": [f"i{item}" for _ in range(USERS) for item in range(DAYS)],
        "event_time": pa.array(np.tile(NOONS.astype("datetime64[us]"), USERS)),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert prepare(tmp_path / "a.parquet", Settings(days=5)).metrics()["interactions"] == 5 * USERS


def test_one_event_of_an_unknown_time_is_not_the_newest(tmp_path: Path) -> None:
    assert made(tmp_path, [*FORMS["dates"], "9999-12-31"], days=4).metrics()["interactions"] == 5 * USERS


def test_times_of_no_date_have_days_too(tmp_path: Path) -> None:
    assert made(tmp_path, list(range(0, 40 * 86_400, 43_200)), days=4).metrics()["interactions"] == 8 * USERS


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({"since": "2030-01-01"}, r"a\.csv: since is '2030-01-01': 0 of 60 events are from 2030-01-01 00:00:00 on; the events run "
         r"from 2024-01-01 12:00:00 to 2024-01-20 12:00:00 \(UTC\)"),
        ({"days": 1}, r"only one item.*; days is 1: 3 of 60 events are from 2024-01-19 12:00:01 on; the events run from 2024-01-01 12"),
        ({"days": 2}, r"no user has 3 positives.*; days is 2: 6 of 60 events are from 2024-01-18 12:00:01 on; the events run"),
        ({"days": 9, "min_user_interactions": 10}, r"nothing is left .*; days is 9: 27 of 60 events .* to 2024-01-20 12"),
        ({"since": "2024-01-10", "split": "temporal", "test_after": "2024-01-05"}, "test_after .* no training.*; since is"),
    ],
)  # fmt: skip
def test_a_window_with_too_little_names_the_oldest_and_the_newest_event(
    window: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        made(tmp_path, FORMS["dates"], **window)


def test_a_window_that_leaves_nothing_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert made(tmp_path, FORMS["milliseconds"], since="1000").metrics()["dropped_outside_window"] == 0
    assert "since is '1000' leaves no event out: the oldest is of 2024-01-01 12:00:00" in caplog.text


@pytest.mark.parametrize("window", [{"since": "2024-01-05"}, {"days": 3}])
@pytest.mark.parametrize("times", [["2024-01-01"] * 5, FORMS["dates"]], ids=["equal", "left out"])
def test_a_window_needs_times(window: dict[str, object], times: list[object], tmp_path: Path) -> None:
    off = {} if len(set(times)) == 1 else {"timestamp_column": "none"}
    with pytest.raises(
        InputError, match=r"a\.csv: 'since' and 'days' .* no timestamps, or all are equal; timestamp_column"
    ):
        made(tmp_path, times, **window, **off)
