"""Files as people have them, read to the end: what is the same data gives the same split, what is doubtful is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ncf.artifacts.dataset import Dataset
from ncf.errors import InputError
from ncf.reports import dataset as dataset_report
from ncf.stage.execution import run
from ncf.stages.preprocess import Preprocess
from tests.conftest import SHARED

Pairs = list[tuple[str, str]]
CASES = SHARED / "cases"

SAME: dict[str, str] = {
    "athena_no_extension": "",
    "cr_only.csv": "",
    "ecom.csv": r"product_id \(item\), event_time \(timestamp\)",
    "float_ids.csv": r"60 user ids are read without '\.0' behind them, such as '1\.0'",
    "hl_space4.txt": "no other separator in the first row, so spaces are taken",
    "hl_uit.csv": r"column 3 is the timestamp \(timestamp_column\), no column is the rating",
    "iso_tz_mixed.csv": r"283 with a time zone .* and 257 without one, read as UTC .*row 12: '2020-01-01T00:32:34'",
    "unit_order.csv": "300 in milliseconds .*row 2: '1577837777000'.* and 240 in seconds .*row 8: '1579392977'",
}
"""Case with the interactions of base.csv -> what the console says."""


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    if not CASES.is_dir():
        pytest.skip(f"the cases are not at {CASES}")
    monkeypatch.setattr(dataset_report, "svg", lambda _: "<svg/>")


@pytest.fixture
def read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., Dataset]:
    def read(name: str, *arguments: str) -> Dataset:
        caplog.set_level("INFO")
        outputs = [f"--{output}={tmp_path / output}" for output in ("dataset", "report", "metrics")]
        run(Preprocess, ["--interactions", str(CASES / name), *outputs, *arguments])
        return Dataset.load(tmp_path / "dataset")

    return read


def parts(data: Dataset) -> list[Pairs]:
    train = zip(data.train.users().tolist(), data.train.items.tolist(), strict=True)
    return [
        [(data.user_ids[user], data.item_ids[item]) for user, item in pairs]
        for pairs in (train, data.validation.tolist(), data.test.tolist())
    ]


def plain(pairs: list[Pairs]) -> list[Pairs]:
    """Pairs with numbers alone, sorted as those of the plain file are."""
    return [sorted((re.sub(r"\D", "", user), re.sub(r"\D", "", item)) for user, item in part) for part in pairs]


@pytest.mark.parametrize("name", SAME)
def test_the_same_interactions_in_another_form(
    name: str, read: Callable[..., Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    expected = parts(read("base.csv"))
    caplog.clear()
    assert parts(read(name)) == expected
    assert re.search(SAME[name], caplog.text)


@pytest.mark.parametrize("name", ["pad.csv", "r_quoted.tsv"])
def test_ids_without_their_padding_and_quotation_marks(name: str, read: Callable[..., Dataset]) -> None:
    found = parts(read(name))
    assert not {sign for part in found for pair in part for sign in "".join(pair)} & set('" ')
    assert plain(found) == plain(parts(read("base.csv")))


def test_an_artist_s_name_is_no_rating(read: Callable[..., Dataset], caplog: pytest.LogCaptureFixture) -> None:
    data = read("lfm360k.tsv")
    assert (data.n_users, data.n_items) == (61, 147)
    assert "no column is the timestamp (timestamp_column), column 4 is the rating (rating_column)" in caplog.text
    assert "There are no timestamps. Held-out items are drawn by seed 1." in caplog.text
    assert read("lfm360k.tsv", "--rating-column=none", "--timestamp-column=none").n_items == 147


def test_rows_without_a_user(read: Callable[..., Dataset], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match=r"row 47, column 'user_id': 'None'; .*37 of 540 rows .*'max_unreadable'"):
        read("none_user.csv")
    data = read("none_user.csv", "--max-unreadable=0.1")
    assert not {"None", "nan", "NULL"} & set(data.user_ids)
    assert "dropped row: " in caplog.text


def test_of_two_columns_of_one_name_one_is_chosen_by_number(read: Callable[..., Dataset]) -> None:
    with pytest.raises(InputError, match=r"columns 2 and 3 are both 'item_id'; .* number with item_column"):
        read("p_dup.parquet")
    assert parts(read("p_dup.parquet", "--item-column=2")) == parts(read("base.csv"))
    assert parts(read("p_dup.parquet", "--item-column=3")) != parts(read("base.csv"))


def test_a_last_day_of_the_calendar_is_reported_and_not_drawn(
    read: Callable[..., Dataset], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    read("y9999.csv")
    assert "1 of 540 timestamps are before 1971 or after 2099: 9999-12-31 23:59:59 (y9999.csv, row 5:" in caplog.text
    assert (tmp_path / "report").read_text().count("</svg>") == 3


@pytest.mark.parametrize(
    ("titles", "arguments", "said", "title"),
    [
        ("t_badname.csv", (), "column 'name_en' is read as the title", "Film 1"),
        ("t_badname.csv", ("--title-column=genre",), "read titles of 146", "x"),
        ("netflix_titles2.csv", (), "no header; by the look of the values, column 3 is the title", "Toy Story (1995)"),
        ("netflix_titles2.csv", ("--title-column=2", "--title-item-column=1"), "read titles of 146", "1901"),
    ],
)
def test_titles_by_name_place_and_look(
    titles: str, arguments: tuple[str, ...], said: str, title: str, read: Callable[..., Dataset],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    data = read("base.csv", "--items", str(CASES / titles), *arguments)
    assert said in caplog.text
    assert data.item_titles is not None
    assert data.item_titles[list(data.item_ids).index("1")] == title


def test_titles_in_latin_1(read: Callable[..., Dataset], caplog: pytest.LogCaptureFixture) -> None:
    data = read("ml1m_folder")
    assert "movies.dat is not UTF-8 and is read as latin-1" in caplog.text
    assert data.item_titles is not None
    assert data.item_titles[list(data.item_ids).index("1")] == "Caf\u00e9 1 (1995)"
    assert read("ml1m_folder", "--title-column=none").item_titles is None
