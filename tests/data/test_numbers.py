"""Times as they are written: numbers in several units, dates, spaces around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncf.data.reading import Interactions, columns, read_interactions
from ncf.data.times import to_time
from ncf.data.units import MICROSECONDS, to_microseconds, unit_of
from ncf.errors import InputError

NEW_YEAR = 1_704_067_200  # 2024-01-01 in seconds since 1970, UTC


def read(path: Path, times: list[str], max_unreadable: float = 0.0, separator: str = ",") -> Interactions:
    rows = [separator.join(("u", f"i{number}", "4", time)) for number, time in enumerate(times)]
    path.write_text("\n".join([separator.join(("user", "item", "rating", "timestamp")), *rows, ""]))
    return read_interactions(path, columns(), max_unreadable=max_unreadable)


@pytest.mark.parametrize(
    "written",
    [
        ["1704067200", "1704067201"],
        ["1704067200.0", "1704067201.0"],
        ["1704067200000", "1704067201000"],
        ["1704067200000000", "1704067201000000"],
        ["1704067200000000000", "1704067201000000000"],
        ["2024-01-01", "2024-01-01 00:00:01"],
        ["2024-01-01T00:00:00Z", "2024-01-01T01:00:01+01:00"],
        [" 1704067200", "1704067201 "],
        [" 2024-01-01T00:00:00", " 2024-01-01T00:00:01"],
    ],
    ids=lambda written: written[0],
)
def test_units_and_dates_give_the_same_time(written: list[str], tmp_path: Path) -> None:
    time = read(tmp_path / "r.csv", written).time
    assert time is not None
    assert time.tolist() == [NEW_YEAR * MICROSECONDS, (NEW_YEAR + 1) * MICROSECONDS]


def test_spaces_behind_separators_are_no_part_of_a_value(tmp_path: Path) -> None:
    plain, spaced = (read(tmp_path / f"{len(sign)}.csv", ["5", "6"], separator=sign) for sign in (",", ", "))
    assert list(plain.item_ids) == list(spaced.item_ids) == ["i0", "i1"]
    for name in ("user", "item", "rating", "time"):
        assert np.array_equal(getattr(plain, name), getattr(spaced, name))


@pytest.mark.parametrize("time", ["1e300", "-1e25", "1" * 30])
def test_a_number_beyond_every_unit_is_no_time(time: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"r\.csv: row 4, column 'timestamp': '{time}'; expected seconds or"):
        read(tmp_path / "r.csv", ["5", "6", time, "7"])
    with pytest.raises(ValueError, match="is not a time"):
        to_time(time)


@pytest.mark.parametrize("good", ["1704067200", "2024-01-01"])
def test_the_first_row_may_be_the_one_that_is_unreadable(good: str, tmp_path: Path) -> None:
    found = read(tmp_path / "r.csv", ["soon", *[good] * 300], 0.01)
    assert (len(found), found.unreadable) == (300, 1)
    with pytest.raises(InputError, match="row 2, column 'timestamp': 'soon'"):
        read(tmp_path / "r.csv", ["soon", *[good] * 300])


@given(st.integers(10**8, 10**10 - 1), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_the_size_of_a_number_tells_its_unit(seconds: int, unit: int) -> None:
    expected = seconds * MICROSECONDS
    assert to_time(str(seconds * unit)) == pytest.approx(expected, abs=2, rel=0)
    in_file = np.array([seconds * unit]) if seconds * unit < 2**63 else np.array([float(seconds * unit)])
    assert to_microseconds(in_file, [unit_of(seconds * unit)]).tolist() == pytest.approx([expected], abs=2, rel=0)
