"""Times that are mixed or doubtful: each row gets its own unit or zone, and the console says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ncf.data import text
from ncf.data.reading import columns, read_interactions
from ncf.data.times import to_time
from ncf.errors import InputError
from ncf.reports.dataset import _over_time, _shown

NEW_YEAR = 1_704_067_200  # 2024-01-01 in seconds since 1970, UTC
SECOND = 1_000_000  # microseconds


def read(path: Path, times: list[object]) -> list[int]:
    """Seconds since 1970 of each row."""
    if path.suffix == ".parquet":
        columns_ = {"user": ["u"] * len(times), "item": [str(n) for n in range(len(times))], "timestamp": times}
        parquet.write_table(pa.table(columns_), path)
    else:
        rows = [f"u,i{number},{time}" for number, time in enumerate(times)]
        path.write_text("\n".join(["user,item,timestamp", *rows, ""]))
    time = read_interactions(path, columns()).time
    assert time is not None
    found = time / SECOND
    return [int(second) if second == int(second) else float(second) for second in found.tolist()]


UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("most", "least"),
    [("seconds", "milliseconds"), ("milliseconds", "seconds"), ("seconds", "microseconds"),
     ("nanoseconds", "seconds"), ("milliseconds", "nanoseconds"), ("microseconds", "milliseconds")],
)  # fmt: skip
def test_each_row_of_mixed_units_has_its_own(
    most: str, least: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = [NEW_YEAR + 86_400 * day for day in range(9)]
    written: list[object] = [
        second * (UNITS[least] if row in (3, 5) else UNITS[most]) for row, second in enumerate(seconds)
    ]
    assert read(tmp_path / f"r{suffix}", written) == seconds
    first = 5 if suffix == ".csv" else 4
    assert f"7 in {most} (the first is r{suffix}, row {first - 3}: '{written[0]}')" in caplog.text
    assert f"2 in {least} (the first is r{suffix}, row {first}: '{written[3]}')" in caplog.text


def test_units_are_mixed_by_files_and_blocks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_BYTES_PER_BLOCK", 64)
    for day, unit in enumerate((1, 1000)):
        rows = [f"u{row},i{day},{(NEW_YEAR + row) * unit}" for row in range(20)]
        (tmp_path / f"day{day}.csv").write_text("\n".join(["user,item,timestamp", *rows, ""]))
    time = read_interactions(tmp_path, columns()).time
    assert time is not None
    assert time.tolist() == [(NEW_YEAR + row) * SECOND for row in range(20)] * 2
    assert "20 in seconds (the first is day0.csv, row 2: '1704067200')" in caplog.text
    assert "20 in milliseconds (the first is day1.csv, row 2: '1704067200000')" in caplog.text


@pytest.mark.parametrize(
    ("unknown", "unit"),
    [
        (unknown, unit)
        for unknown in (0, -1, 86_400, 253_402_300_799, -2_208_988_800)
        for unit in UNITS.values()
        if unknown * unit < 2**63
    ],
)
def test_a_date_for_an_unknown_time_changes_no_unit(
    unknown: int, unit: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = [NEW_YEAR, unknown, NEW_YEAR + 1, NEW_YEAR + 2]
    assert read(tmp_path / "r.csv", [second * unit for second in seconds]) == seconds
    assert "1 of 4 timestamps are before 1971 or after 2099: " in caplog.text
    assert f"(r.csv, row 3: '{unknown * unit}')" in caplog.text
    assert "mixed" not in caplog.text


@pytest.mark.parametrize("step", [1, 86_400, 86_400_000])
def test_made_up_times_are_of_one_unit(step: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = read(tmp_path / "r.csv", [number * step for number in range(2000)])
    assert np.diff(times).min() > 0
    assert "mixed" not in caplog.text


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-01 00:00:00 UTC", "2024-01-01T00:00:00 GMT", "2024-01-01 00:00:00UTC", "2024-01-01T00:00:00Z",
        "2024-01-01T00:00:00z", "2024-01-01 01:00:00+01:00", "2024-01-01 01:00:00 +0100", "2023-12-31T19:00:00-05",
        "2024-01-01T00:00:00.000000000Z", "2024-01-01 00:00:00.000000000 UTC", "2024/01/01 00:00:00", "2024-01-01",
        "2024-01-01 00:00:00,000",
    ],
)  # fmt: skip
@pytest.mark.parametrize("others", ["2024-01-01T00:00:01", "2024-01-01T01:00:01+01:00", "2024-01-01 00:00:01 UTC"])
def test_zones_may_be_mixed(written: str, others: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if "," in written:
        written = f'"{written}"'
    assert read(tmp_path / "r.csv", [others, written, others]) == [NEW_YEAR + 1, NEW_YEAR, NEW_YEAR + 1]
    assert ("timestamps are mixed" in caplog.text) is (_has_zone(written) != _has_zone(others))


def _has_zone(written: str) -> bool:
    return written[-1] in "ZzCT" or "+" in written or written.endswith("-05")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_dates_may_be_numbers(suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    days = [NEW_YEAR, NEW_YEAR + 59 * 86_400, NEW_YEAR + 60 * 86_400, NEW_YEAR + 365 * 86_400]
    written: list[object] = [20240101, 20240229, 20240301, 20241231]
    assert read(tmp_path / f"r{suffix}", written) == days
    assert "timestamps such as 20240101 are read as dates, YYYYMMDD" in caplog.text
    clock = 13 * 3600 + 5 * 60 + 59
    with_clock: list[object] = [int(f"{day}130559") for day in written]
    assert read(tmp_path / f"r{suffix}", with_clock) == [day + clock for day in days]


@pytest.mark.parametrize("number", [20240230, 20241301, 20240100, 20240001])
def test_a_number_that_is_no_date_is_in_seconds(number: int, tmp_path: Path) -> None:
    assert read(tmp_path / "r.csv", [20240101, number]) == [20240101, number]
    assert to_time(str(number)) == number * SECOND


def test_nanoseconds_of_parquet_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    moments = pa.array([NEW_YEAR * 10**9 + 1, NEW_YEAR * 10**9 + 1001], pa.timestamp("ns"))
    parquet.write_table(pa.table({"user": ["u", "u"], "item": ["a", "b"], "timestamp": moments}), path)
    time = read_interactions(path, columns()).time
    assert time is not None
    assert (time - NEW_YEAR * SECOND).tolist() == [0, 1]


@pytest.mark.parametrize("date", ["9999-12-31", "9999-12-31T23:59:59Z", "1900-01-01", "0001-01-01", "1970-01-01"])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_any_date_is_drawn(date: str, share: float, tmp_path: Path) -> None:
    rows = [date if row < 20 * share else f"2024-01-{row + 1:02}" for row in range(20)]
    time = read_interactions(_written(tmp_path / "r.csv", rows), columns()).time
    assert time is not None
    assert "<svg" in _over_time(_shown(time))


def _written(path: Path, times: list[str]) -> Path:
    path.write_text("\n".join(["user,item,timestamp", *(f"u,i{n},{time}" for n, time in enumerate(times)), ""]))
    return path


def test_a_parameter_s_date_is_read_as_those_of_a_file() -> None:
    for text_ in (
        "2024-01-01 00:00:00 UTC",
        "2024/01/01",
        "2024-01-01T01:00:00 +0100",
        str(NEW_YEAR * 1000),
        "20240101",
    ):
        assert to_time(text_) == NEW_YEAR * SECOND


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str)
@pytest.mark.parametrize("time", ["2024-01-01T00:00:00Z", "2024-01-01 01:00:00+01:00", str(NEW_YEAR)])
def test_times_as_texts_of_any_type_of_parquet(time: str, kind: pa.DataType, tmp_path: Path) -> None:
    written = pa.table({"user": ["u", "u"], "item": ["a", "b"], "timestamp": pa.array([time, time], kind)})
    parquet.write_table(written, tmp_path / "r.parquet")
    found = read_interactions(tmp_path / "r.parquet", columns()).time
    assert found is not None
    assert found.tolist() == [NEW_YEAR * SECOND] * 2


@pytest.mark.parametrize(
    ("kind", "value"),
    [(pa.timestamp("ms"), 2**63 - 1), (pa.timestamp("ms", "UTC"), -(2**62)), (pa.date32(), 2**31 - 1)],
    ids=str,
)
def test_dates_beyond_64_bits_of_microseconds_are_unreadable(kind: pa.DataType, value: int, tmp_path: Path) -> None:
    number = pa.int32() if kind == pa.date32() else pa.int64()
    times = pa.array([18_262, value, None], number).cast(kind)
    written = pa.table({"user": ["u"] * 3, "item": ["a", "b", "c"], "timestamp": times})
    parquet.write_table(written, tmp_path / "r.parquet")
    with pytest.raises(
        InputError, match=rf"row 2, column 'timestamp': '{value} of type .+'; expected .* \(2 of 3 rows"
    ):
        read_interactions(tmp_path / "r.parquet", columns())
    assert len(read_interactions(tmp_path / "r.parquet", columns(), max_unreadable=0.9)) == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [(pa.timestamp("us"), 2**63 - 1), (pa.timestamp("ns"), -(2**63) + 1), (pa.date32(), 10**8)],
    ids=str,
)
def test_dates_beyond_those_of_python_are_reported(
    kind: pa.DataType, value: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    number = pa.int32() if kind == pa.date32() else pa.int64()
    day = {"us": 86_400 * 10**6, "ns": 86_400 * 10**9}.get(getattr(kind, "unit", ""), 1)
    times = pa.array([18_262 * day, value, 18_263 * day], number).cast(kind)
    written = pa.table({"user": ["u"] * 3, "item": ["a", "b", "c"], "timestamp": times})
    parquet.write_table(written, tmp_path / "r.parquet")
    assert len(read_interactions(tmp_path / "r.parquet", columns())) == 3
    assert f"r.parquet, row 2: '{value} of type" in caplog.text


def test_booleans_are_no_times(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"user": ["u"], "item": ["a"], "timestamp": [True]}), tmp_path / "r.parquet")
    with pytest.raises(InputError, match=r"column 'timestamp': values of type bool; .*timestamp_column"):
        read_interactions(tmp_path / "r.parquet", columns())


def test_files_of_numbers_and_files_of_dates_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    for name, times in (("2023/a.csv", ["", "1704067200"]), ("2024/a.csv", ["2024-01-01"]), ("2024/b.csv", ["1"])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        rows = [f"u,i{number},{time}" for number, time in enumerate(times)]
        (folder / name).write_text("\n".join(["user,item,timestamp", *rows, ""]))
    expected = (
        r"numbers, the first in 2023/a\.csv, row 3: '1704067200' and some are dates, the first in 2024/a\.csv, row 2: "
        "'2024-01-01'; expected one kind"
    )
    with pytest.raises(InputError, match=expected):
        read_interactions(folder, columns(), max_unreadable=1)
