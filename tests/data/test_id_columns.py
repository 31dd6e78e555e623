"""Ids as files have them: by the one rule, and what is doubtful about them is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ncf.data.reading import Interactions, columns, read_interactions
from ncf.errors import InputError


def read(path: Path, users: list[str], share: float = 0.0) -> Interactions:
    path.write_text("\n".join(["user,item", *(f"{user},i{n}" for n, user in enumerate(users)), ""]))
    return read_interactions(path, columns(), max_unreadable=share)


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (["1.0", "2.0", "10.0"], ["1", "2", "10"]),
        (["1.0", "1", " 1 "], ["1"]),
        (["7", "07", "007"], ["007", "07", "7"]),
        (["1e5", "100000"], ["100000", "1e5"]),
        (["9223372036854775807", "9223372036854775806"], ["9223372036854775806", "9223372036854775807"]),
        (['"1,234"', '"1,235"'], ["1,234", "1,235"]),
        (["a", "A"], ["A", "a"]),
        (["1.50", "1.5"], ["1.5", "1.50"]),
    ],
)
def test_ids_of_text(users: list[str], expected: list[str], tmp_path: Path) -> None:
    assert list(read(tmp_path / "r.csv", users).user_ids) == expected


@pytest.mark.parametrize(
    "missing", ["", "  ", "None", "nan", "NaN", "NULL", "null", "<NA>", "#N/A", "-nan", "\\N", '""']
)
def test_rows_without_an_id_are_dropped_up_to_the_share(
    missing: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users = ["a", "b", missing, "c"]
    found = read(tmp_path / "r.csv", users, share=0.5)
    assert (list(found.user_ids), len(found), found.unreadable) == (["a", "b", "c"], 3, 1)
    assert "dropped row: " in caplog.text
    with pytest.raises(InputError, match=r"r\.csv: row 4, column 'user': .*; expected an id \(1 of 4 rows"):
        read(tmp_path / "r.csv", users)


def test_nothing_but_missing_ids_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the 2 rows can be read"):
        read(tmp_path / "r.csv", ["None", "nan"], share=1.0)


@pytest.mark.parametrize(
    ("users", "said"),
    [
        (["1.0", "2.0"], "2 user ids are read without '.0' behind them, such as '1.0'"),
        (["C1  ", "C2"], "1 user ids are read without white space around them, such as 'C1  '"),
        (['"""u1"""', "u2"], "1 user ids are in quotation marks, which are taken as part of the id, such as '\"u1\"'"),
        (["1.23457E+12", "2"], "1 user ids look like numbers shortened by a spreadsheet"),
        (["caf\u00e9", "cafe\u0301"], "1 user ids look like another one and differ in the form of Unicode"),
        (["007", "7"], "1 user ids look like another one and differ in zeros or a sign, such as '007' and '7'"),
        (["1.00", "1", "2"], "1 user ids look like another one and differ in zeros or a sign, such as '1.00' and '1'"),
        (["+1", "1"], "1 user ids look like another one and differ in zeros or a sign, such as '+1' and '1'"),
        (
            ["\u200b1", "1"],
            r"1 user ids hold invisible characters, which are taken as part of the id, such as '\u200b1'",
        ),
        (["a", "a\ufeff"], "1 user ids hold invisible characters"),
        (["undefined", "2"], "1 user ids may stand for a missing one, but are taken as ids, such as 'undefined'"),
        (["-1", "?", "1"], "2 user ids may stand for a missing one"),
        (["007", "1e5", "u1", "A", "a", "caf\u00e9", "0", "-12", "1.50"], ""),
    ],
)
def test_doubtful_ids_are_reported(
    users: list[str], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path / "r.csv", users)
    assert said in caplog.text
    assert bool(caplog.text) is bool(said)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.float64(), [1.0, 2.0, 10.0]),
        (pa.float32(), [1.0, 2.0, 10.0]),
        (pa.float16(), [1.0, 2.0, 10.0]),
        (pa.int64(), [1, 2, 10]),
        (pa.uint64(), [1, 2, 10]),
        (pa.decimal128(38, 0), [Decimal(1), Decimal(2), Decimal(10)]),
        (pa.decimal128(38, 2), [Decimal("1.00"), Decimal("2.00"), Decimal("10.00")]),
        (pa.string(), ["1", "2.0", " 10"]),
        (pa.dictionary(pa.int32(), pa.string()), ["1", "2", "10"]),
        (pa.dictionary(pa.int32(), pa.int64()), [1, 2, 10]),
    ],
    ids=str,
)
@pytest.mark.parametrize("with_missing", [False, True])
def test_ids_of_parquet(kind: pa.DataType, values: list[object], with_missing: bool, tmp_path: Path) -> None:
    written = [*values, None] if with_missing else values
    items = [f"i{number}" for number in range(len(written))]
    parquet.write_table(pa.table({"user": pa.array(written, kind), "item": items}), tmp_path / "r.parquet")
    found = read_interactions(tmp_path / "r.parquet", columns(), max_unreadable=0.5)
    assert list(found.user_ids) == ["1", "2", "10"]
    assert found.unreadable == int(with_missing)


@pytest.mark.parametrize(
    ("kind", "value"), [(pa.float32(), 2.0**24), (pa.float64(), -(2.0**53)), (pa.float64(), float("inf"))], ids=str
)
def test_numbers_of_parquet_that_are_not_exact_are_no_ids(kind: pa.DataType, value: float, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"user": pa.array([1.0, value], kind), "item": ["a", "b"]}), tmp_path / "r.parquet")
    with pytest.raises(InputError, match=r"row 2, column 'user': .* of type \w+; .* type is exact; user_column names"):
        read_interactions(tmp_path / "r.parquet", columns())


def test_broken_numbers_of_parquet_are_no_ids(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"user": [1.0, 2.5, float("nan")], "item": ["a", "b", "c"]}), tmp_path / "r.parquet")
    with pytest.raises(
        InputError, match=r"row 2, column 'user': 2\.5 of type double; expected ids that are text or whole numbers"
    ):
        read_interactions(tmp_path / "r.parquet", columns())
