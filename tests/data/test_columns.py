"""Columns found by name, by place and by the look of their values, or left out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ncf.data.reading import columns, read_interactions
from ncf.data.titles import read_titles
from ncf.errors import InputError

TIME = 1_704_067_200
Roles = dict[str, str]


def roles(path: Path, rows: list[str], separator: str = "auto", **given: str) -> Roles:
    """Role -> column of a file with these rows."""
    path.write_text("\n".join([*rows, ""]))
    return dict(read_interactions(path, columns(**given), separator).columns)


def rows_of(*fields: str, separator: str = ",") -> list[str]:
    """Rows of which ``{}`` is the number of the row."""
    return [separator.join(fields).replace("{}", str(row)) for row in range(1, 10)]


SECONDS, MILLISECONDS, DATE = "170406720{}", "170406720{}000", "2024-01-0{} 10:00:00"
HEADERLESS: dict[str, tuple[tuple[str, ...], Roles, Roles]] = {
    "user item": (("u{}", "1{}"), {}, {"user": "1", "item": "2"}),
    "user item rating": (("1{}", "2{}", "{}"), {}, {"user": "1", "item": "2", "rating": "3"}),
    "user item rating time": (
        ("1{}", "2{}", "{}", SECONDS), {}, {"user": "1", "item": "2", "rating": "3", "timestamp": "4"},
    ),
    "user item rating step": (
        ("1{}", "2{}", "{}", "10{}"), {}, {"user": "1", "item": "2", "rating": "3", "timestamp": "4"},
    ),
    "user item seconds": (("1{}", "2{}", SECONDS), {}, {"user": "1", "item": "2", "timestamp": "3"}),
    "user item milliseconds": (("1{}", "2{}", MILLISECONDS), {}, {"user": "1", "item": "2", "timestamp": "3"}),
    "text ids and dates": (("u{}", "i{}", DATE), {}, {"user": "1", "item": "2", "timestamp": "3"}),
    "dates with a zone": (("u{}", "i{}", f"{DATE} UTC"), {}, {"user": "1", "item": "2", "timestamp": "3"}),
    "time before rating": (
        ("1{}", "2{}", SECONDS, "{}"), {}, {"user": "1", "item": "2", "timestamp": "3", "rating": "4"},
    ),
    "name and plays": (("1{}", "2{}", "artist {}", "3{}"), {}, {"user": "1", "item": "2", "rating": "4"}),
    "name and time": (("1{}", "2{}", "artist {}", SECONDS), {}, {"user": "1", "item": "2", "timestamp": "4"}),
    "time at the end": (
        ("1{}", "2{}", "{}", "word", SECONDS), {}, {"user": "1", "item": "2", "rating": "3", "timestamp": "5"},
    ),
    "rating off": (("1{}", "2{}", SECONDS), {"rating": "none"}, {"user": "1", "item": "2", "timestamp": "3"}),
    "time off": (("1{}", "2{}", "{}", SECONDS), {"timestamp": "None"}, {"user": "1", "item": "2", "rating": "3"}),
    "both off": (("1{}", "2{}", "{}", SECONDS), {"rating": "none", "timestamp": "none"}, {"user": "1", "item": "2"}),
    "time placed at the rating's": (
        ("1{}", "2{}", "10{}"), {"timestamp": "3"}, {"user": "1", "item": "2", "timestamp": "3"},
    ),
    "rating placed at the time's": (
        ("1{}", "2{}", "word", "{}"), {"rating": "4"}, {"user": "1", "item": "2", "rating": "4"},
    ),
    "all placed": (
        (SECONDS, "{}", "i{}", "u{}"), {"user": "4", "item": "3", "rating": "2", "timestamp": "1"},
        {"user": "4", "item": "3", "rating": "2", "timestamp": "1"},
    ),
    "user and item turned": (("i{}", "u{}", "{}"), {"user": "2", "item": "1"}, {"user": "2", "item": "1", "rating": "3"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERLESS)
@pytest.mark.parametrize("separator", [",", "\t", "::", ";", "|"])
def test_without_a_header(name: str, separator: str, tmp_path: Path) -> None:
    fields, given, expected = HEADERLESS[name]
    assert roles(tmp_path / "r.csv", rows_of(*fields, separator=separator), **given) == expected


HEADERS: dict[str, tuple[str, Roles, Roles]] = {
    "by number": ("buyer,sku,n,when", {"user": "1", "item": "2", "timestamp": "4"},
                  {"user": "buyer", "item": "sku", "timestamp": "when"}),
    "by number and name": ("userId,sku,n,date", {"item": "2"}, {"user": "userId", "item": "sku", "timestamp": "date"}),
    "a number that is a name": ("user,2,item,1", {"item": "2"}, {"user": "user", "item": "2"}),
    "rating off": ("user,item,rating,time", {"rating": "none"}, {"user": "user", "item": "item", "timestamp": "time"}),
    "named first": ("user,item,rating,time", {"rating": "time", "timestamp": "rating"},
                    {"user": "user", "item": "item", "rating": "time", "timestamp": "rating"}),
    "a usual name given to another role": ("customer,item,user,time", {"item": "user", "rating": "none"},
                                           {"user": "customer", "item": "user", "timestamp": "time"}),
    "usual names of times": ("user,item,n,event_time", {}, {"user": "user", "item": "item", "timestamp": "event_time"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_with_a_header(name: str, tmp_path: Path) -> None:
    header, given, expected = HEADERS[name]
    found = roles(tmp_path / "r.csv", [header, *rows_of("1{}", "2{}", "{}", SECONDS)], **given)
    assert found == expected
    assert read_interactions(tmp_path / "r.csv", columns(**given)).user_ids[0] != header.split(",")[0]


@pytest.mark.parametrize("name", ["order_dt_time", "purchase_date_utc", "my stamp"])
def test_a_likely_name_of_a_time_is_reported(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "timestamp" not in roles(tmp_path / "r.csv", [f"user,item,n,{name}", *rows_of("1{}", "2{}", "{}", SECONDS)])
    assert f"no column is recognised as the timestamp; is it '{name}'? Then give its name with timestamp_column" in (
        caplog.text
    )


@pytest.mark.parametrize("time", [SECONDS, MILLISECONDS, DATE])
def test_likely_values_of_a_time_are_reported(time: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = ["user,item,n,when", *rows_of("1{}", "2{}", "{}", time)]
    assert "timestamp" not in roles(tmp_path / "r.csv", rows)
    assert "no column is recognised as the timestamp; is it 'when'? Then give its name with timestamp_column" in (
        caplog.text
    )
    caplog.clear()
    assert roles(tmp_path / "r.csv", rows, timestamp=" when ")["timestamp"] == "when"
    assert "timestamp" not in roles(tmp_path / "r.csv", rows, timestamp=" none")
    assert "no column" not in caplog.text


def test_likely_values_of_a_time_in_parquet_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = pa.array([1, 2], pa.timestamp("s"))
    parquet.write_table(pa.table({"user": ["u", "v"], "item": ["a", "b"], "when": times}), tmp_path / "r.parquet")
    assert read_interactions(tmp_path / "r.parquet", columns()).time is None
    assert "is it 'when'? Then give its name with timestamp_column" in caplog.text


def test_the_look_of_a_file_without_a_header_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    roles(tmp_path / "r.csv", rows_of("1{}", "2{}", SECONDS))
    assert "r.csv has no header; by the look of the values, column 3 is the timestamp (timestamp_column)" in caplog.text


@pytest.mark.parametrize(
    ("header", "given"),
    [("0,1,2,3", {}), ("0,1,2,3", {"user": "1", "item": "2"}), ("who,what", {"user": "1", "item": "2"})],
)
def test_a_first_row_that_may_be_a_header_is_reported(
    header: str, given: Roles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields = ("1{}", "2{}", "{}", SECONDS) if header.startswith("0") else ("u{}", "i{}")
    roles(tmp_path / "r.csv", [header, *rows_of(*fields)], **given)
    shown = ", ".join(f"'{field}'" for field in header.split(","))
    assert f"r.csv: the first row, {shown}, is read as data; if it is a header, delete it" in caplog.text
    caplog.clear()
    roles(tmp_path / "r.csv", rows_of("1{}", "2{}", "{}", SECONDS), **given)
    assert "first row" not in caplog.text


@pytest.mark.parametrize("time", [SECONDS, DATE])
def test_times_where_items_are_expected_are_reported(
    time: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = rows_of("u{}", time, "i{}")
    roles(tmp_path / "r.csv", rows)
    assert "r.csv: column 2 is read as the item, but its values look like times; item_column gives another one" in (
        caplog.text
    )
    caplog.clear()
    assert roles(tmp_path / "r.csv", rows, item="3") == {"user": "1", "item": "3", "timestamp": "2"}
    assert "is read as the item" not in caplog.text


@pytest.mark.parametrize("separator", ["auto", "semicolon"])
def test_no_separator_is_an_error_that_says_so(separator: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the first row, '10~20', has no separator of columns; .*'separator' sets it"):
        roles(tmp_path / "r.csv", ["10~20", "11~21"], separator)


def test_spaces_that_are_not_the_same_in_each_row_separate_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no separator of columns"):
        roles(tmp_path / "r.csv", ["a b", "a b c", "d"])
    assert roles(tmp_path / "r.csv", ["1 2 3", "4 5 6", "7 8 9"], "space")["rating"] == "3"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_equal_names_are_chosen_among_by_number(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"r.{kind}"
    if kind == "csv":
        path.write_text("user_id,item_id,item_id\nu,a,x\nu,b,y\n")
    else:
        parts = [pa.array(["u", "u"]), pa.array(["a", "b"]), pa.array(["x", "y"])]
        parquet.write_table(pa.Table.from_arrays(parts, names=["user_id", "item_id", "item_id"]), path)
    for given in ("", "item_id"):
        with pytest.raises(InputError, match="columns 2 and 3 are both 'item_id'; .* number with item_column"):
            read_interactions(path, columns(item=given))
    for number, expected in (("2", ["a", "b"]), ("3", ["x", "y"])):
        assert list(read_interactions(path, columns(item=number)).item_ids) == expected


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"user": "none"}, "user_column is 'none', but a column of users is required"),
        ({"item": "1"}, "which column is the user"),
        ({"item": "9"}, "item_column is 9, but the columns are 1 to 3"),
        ({"item": "1", "user": "1"}, "column '1' is user and item at once"),
        ({"item": "sku"}, "item_column is 'sku', but the file has no header"),
    ],
)
def test_what_cannot_be_found_is_an_error(given: Roles, match: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=match):
        roles(tmp_path / "r.csv", rows_of("1{}", "2{}", "{}"), **given)


TITLES: dict[str, tuple[bytes, Roles]] = {
    "usual names": (b"item,title\n1,Caf\xc3\xa9\n", {}),
    "likely name": (b"item_id,title_de,x\n1,Caf\xc3\xa9,y\n", {}),
    "no header": (b"1,Caf\xc3\xa9\n2,Tea\n", {}),
    "year before the title": (b"1,1999,Caf\xc3\xa9\n2,2000,Tea\n", {}),
    "placed": (b"Caf\xc3\xa9,x,1\nTea,y,2\n", {"title_column": "1", "title_item_column": "3"}),
    "named": (b"sku,label 2,title\n1,Caf\xc3\xa9,x\n", {"title_column": "label 2", "title_item_column": "sku"}),
    "latin-1": (b"item,title\n1,Caf\xe9\n", {}),
    "latin-1 far below": (b"item,title\n1,Caf\xe9\n" + b"2,Tea\n" * 100, {}),
    "Windows-1252": (b"item,title\n2,\x93Tea\x94\n1,Caf\xe9\n", {}),
    "neither": (b"item,title\n2,\x81\n1,Caf\xe9\n", {}),
    "UTF-16": ("item,title\n1,Caf\u00e9\n".encode("utf-16"), {}),
    "UTF-8 with its mark": (b"\xef\xbb\xbfitem,title\n1,Caf\xc3\xa9\n", {}),
    "returns": (b"item,title\r1,Caf\xe9\r2,Tea\r", {}),
    "quoted tabs": (b'"item"\t"title"\n"1"\t"Caf\xc3\xa9"\n', {}),
    "float ids": (b"item,title\n1.0,Caf\xc3\xa9\n", {}),
    "padded ids": (b"item,title\n1   ,Caf\xc3\xa9\n", {}),
    "a quotation mark within": (b'item\ttitle\n1\tCaf\xc3\xa9\n2\t"weird al" tea\n3\t12" tea\n', {}),
}


@pytest.mark.parametrize("name", TITLES)
def test_titles(name: str, tmp_path: Path) -> None:
    content, given = TITLES[name]
    path = tmp_path / ("t.tsv" if b"\t" in content else "t.csv")
    path.write_bytes(content)
    assert read_titles(path, ["1"], **given) == ["Caf\u00e9"]


def test_long_titles_are_cut_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"item,title\n1,{'é' * 500}\n2,{'é' * 501}\n3,{'x' * 100_000}\n4,{'x' * 501}\n")
    first, second, third = read_titles(path, ["1", "2", "3"])
    assert first == "é" * 500
    assert second == "é" * 499 + "…"
    assert len(third) == 500
    assert "t.csv: 2 titles have more than 500 characters and are cut, that of item '2' first" in caplog.text


@pytest.mark.parametrize("column", ["item", "title"])
@pytest.mark.parametrize(
    "values", [[["a"], ["b"]], [b"\xff", b"a"], [{"a": 1}, {"a": 2}]], ids=["list", "bytes", "struct"]
)
def test_values_without_a_text_are_no_titles(column: str, values: list[object], tmp_path: Path) -> None:
    written = {"item": ["1", "2"], "title": ["Tea", "Coffee"], column: values}
    parquet.write_table(pa.table(written), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=rf"t\.parquet: row 1, column '{column}': values of type .+; expected text"):
        read_titles(tmp_path / "t.parquet", ["1"])


@pytest.mark.parametrize("name", ["latin-1", "Windows-1252", "neither"])
def test_the_encoding_of_titles_is_reported(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "t.csv").write_bytes(TITLES[name][0])
    read_titles(tmp_path / "t.csv", ["1"])
    assert "t.csv is not UTF-8 and is read as latin-1" in caplog.text
