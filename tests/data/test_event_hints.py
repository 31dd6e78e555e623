"""A column of event types that nobody has named: it is said, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ncf.data.preparation import Settings, prepare

SAID = "looks like the type of an event and is not read"
TYPES = {
    "event_type": ["view", "cart", "purchase"],
    "event": ["view", "addtocart", "transaction"],
    "Action": ["Product View", "Checkout", "search"],
    "behavior": ["pv", "fav", "buy"],
    "behavior_type": ["1", "2", "3", "4"],
    "action_type": ["0", "2"],
    "eventName": ["level_up", "level_down"],
    "kind": ["click", "click", "click"],
    "what": ["page_view", "add_to_cart", "remove-from-cart", "begin"],
}
"""Names and values of columns of event types."""
OTHERS = {
    "genre": ["Action", "Comedy", "Drama"],
    "category": ["Toys", "Books", "Orders", "Games"],
    "Action": ["0", "1", "1"],
    "action": ["True", "False", "False"],
    "event": [f"concert {number}" for number in range(21)],
    "event_type": [str(number / 7) for number in range(50)],
    "title": ["Click", "The Purchase", "A View to a Kill"],
    "device": ["phone", "tablet", "desktop"],
    "source": ["search", "email", "share", "direct"],
    "empty": ["", "", ""],
    "type": ["movie", "series"],
}
"""Names and values of other columns."""


def said(folder: Path, name: str, values: list[str], caplog: pytest.LogCaptureFixture, **changes: object) -> list[str]:
    """What is said of a column: in a text file and in a parquet file alike, on the console and in the report."""
    users, items = zip(*((f"u{user}", f"i{item}") for user in range(9) for item in range(9)), strict=True)
    column = [values[place % len(values)] for place in range(len(users))]
    times = list(range(len(users)))
    lines = [
        f'{user},{item},{time},"{value}"' for user, item, time, value in zip(users, items, times, column, strict=True)
    ]
    (folder / "a.csv").write_text("\n".join([f"user_id,item_id,ts,{name}", *lines]) + "\n")
    array = pa.array(column)
    if all(value.isdigit() for value in values):
        array = array.cast(pa.int32())
    table = pa.table({"user_id": users, "item_id": items, "ts": times, name: array})
    parquet.write_table(table, folder / "a.parquet")
    found = []
    for file in ("a.csv", "a.parquet"):
        caplog.clear()
        notes = prepare(folder / file, Settings(**changes)).notes  # type: ignore[arg-type]
        found.append([note for note in notes if SAID in note])
        assert found[-1] == [record.message for record in caplog.records if SAID in record.message]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("name", TYPES)
def test_event_types_are_named(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (note,) = said(tmp_path, name, TYPES[name], caplog)
    shown = ", ".join(dict.fromkeys(TYPES[name]))
    assert note.startswith(f"Column '{name}' ({shown}) looks like")
    assert not said(tmp_path, name, TYPES[name], caplog, event_column="none")
    assert not said(tmp_path, name, TYPES[name], caplog, event_column=name, event_weights={"*": 1})


@pytest.mark.parametrize("name", OTHERS)
def test_other_columns_are_not(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not said(tmp_path, name, OTHERS[name], caplog)


def test_a_column_without_a_header_is_named_by_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [f"u{place % 3},i{place},{1_700_000_000 + place},{'buy' if place % 4 else 'pv'}" for place in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    prepare(tmp_path / "a.csv", Settings())
    assert f"Column '4' (pv, buy) {SAID}" in caplog.text


def test_a_folder_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for day in range(3):
        lines = [f"u{place % 3},i{place},{place},view" for place in range(30)]
        (tmp_path / f"day{day}.csv").write_text("\n".join(["user,item,ts,event_type", *lines]))
    prepare(tmp_path, Settings())
    assert caplog.text.count(SAID) == 1


def test_a_damaged_column_that_is_not_read_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    users = [f"u{place % 3}" for place in range(30)]
    table = pa.table({"user": users, "item": [f"i{n}" for n in range(30)], "event_type": ["view"] * 30})
    parquet.write_table(table, path, use_dictionary=False, compression="gzip")
    place = parquet.ParquetFile(path).metadata.row_group(0).column(2)
    content = bytearray(path.read_bytes())
    start = place.data_page_offset
    content[start : start + place.total_compressed_size] = bytes(place.total_compressed_size)
    path.write_bytes(content)
    assert prepare(path, Settings()).metrics()["interactions"] == 30
