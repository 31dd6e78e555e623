"""Rows whose rating or time cannot be read: dropped and counted up to a share, an error above it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ncf.data.filtering import at_least
from ncf.data.reading import Interactions, columns, read_interactions
from ncf.errors import InputError


def read(path: Path, bad: dict[int, str], rows: int, share: float, times: str = "number") -> Interactions:
    lines = ["user,item,rating,timestamp"]
    for row in range(rows):
        time = f"2024-01-{row % 28 + 1:02}T10:00:00" if times == "date" else str(1_700_000_000 + row)
        lines.append(bad.get(row, f"u{row % 50},i{row % 70},{row % 5 + 1},{time}"))
    path.write_text("\n".join(lines) + "\n")
    return read_interactions(path, columns(), max_unreadable=share)


@pytest.mark.parametrize("times", ["number", "date"])
@pytest.mark.parametrize("bad", ["u1,i1,good,{}", "u1,i1,,{}", "u1,i1,3,17000 http://x", "u1,i1,3,", "u1,i1,inf,{}"])
def test_a_few_rows_are_dropped_and_counted(
    bad: str, times: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = bad.format("2024-02-02" if times == "date" else "1700000000")
    found = read(tmp_path / "r.csv", {500: line}, 2000, 0.001, times)
    assert (len(found), found.unreadable) == (1999, 1)
    assert found.rating is not None
    assert found.time is not None
    assert set(found.rating.tolist()) == {1, 2, 3, 4, 5}
    assert "row 502" in caplog.text


def test_more_than_the_share_is_an_error_that_names_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = {7: "u1,i1,good,1", 9: "u2,i1,bad,1"}
    with pytest.raises(InputError, match=r"r\.csv: row 9, column 'rating': 'good'.*2 of 1,000 rows"):
        read(tmp_path / "r.csv", bad, 1000, 0.001)
    assert not caplog.text, "nothing is said to be dropped"
    assert read(tmp_path / "r.csv", bad, 1000, 0.002).unreadable == 2


def test_a_column_of_something_else_is_an_error_whatever_the_share(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 2, column 'rating'"):
        read(tmp_path / "r.csv", {row: f"u{row},i{row},word{row},1" for row in range(400)}, 400, 1.0)


@pytest.mark.parametrize(("times", "bad"), [("number", "17/{}/2024"), ("date", "{}.05.2024")])
def test_a_column_of_something_else_is_an_error_that_names_the_parameter(times: str, bad: str, tmp_path: Path) -> None:
    rows = {row: f"u{row},i{row},1,{bad.format(row)}" for row in range(400)}
    with pytest.raises(InputError, match=r"row 2, .*'timestamp_column' names another column or 'none'"):
        read(tmp_path / "r.csv", rows, 400, 1.0, times)


def test_ratings_below_the_lowest_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    index = np.arange(4, dtype=np.int32)
    read = Interactions(index, index, np.array([-1, 0, 1, -1], np.float32), None, list("abcd"), list("abcd"), ["r.csv"])
    assert len(at_least(read, 0)) == 2
    assert "dropped 2 of 4 interactions with a rating below min_rating, 0" in caplog.text
