"""Event types with weights: one positive a pair of user and item, which weighs as much as its events."""

from __future__ import annotations

import gzip
import lzma
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ncf.artifacts.dataset import Dataset
from ncf.data import events
from ncf.data.preparation import Prepared, Settings, prepare
from ncf.data.release_preparation import prepare_release
from ncf.errors import InputError

Row = tuple[str, str, str, int]
HEADER = ("user_id", "item_id", "event_type", "event_time")
WEIGHTS = {"view": 1.0, "cart": 2.5, "purchase": 5.0}
ROWS: list[Row] = [
    ("u1", "a", "view", 100), ("u1", "a", "view", 101), ("u1", "b", "view", 102), ("u1", "a", "purchase", 103),
    ("u1", "c", "cart", 104), ("u1", "d", "purchase", 105), ("u2", "a", "view", 200), ("u2", "b", "cart", 201),
    ("u2", "c", "view", 202), ("u2", "c", "view", 203), ("u2", "d", "view", 204),
]  # fmt: skip
SUMS = {
    ("u1", "a"): 7.0, ("u1", "b"): 1.0, ("u1", "c"): 2.5, ("u1", "d"): 5.0,
    ("u2", "a"): 1.0, ("u2", "b"): 2.5, ("u2", "c"): 2.0, ("u2", "d"): 1.0,
}  # fmt: skip


def text(rows: list[Row], separator: str = ",", header: bool = True) -> str:
    lines = [separator.join(HEADER)] if header else []
    return "\n".join(lines + [separator.join(map(str, row)) for row in rows]) + "\n"


def table(rows: list[Row]) -> pa.Table:
    return pa.table({name: list(column) for name, column in zip(HEADER, zip(*rows, strict=True), strict=True)})


def made(path: Path, **changes: object) -> Prepared:
    return prepare(path, Settings(**{"event_weights": WEIGHTS, **changes}))  # type: ignore[arg-type]


def by_pair(data: Dataset) -> dict[tuple[str, str], float]:
    """Weight of each positive, from both orders in which a data set gives them."""
    positives, weights = data.positives(), data.positive_weights()
    assert data.weights is not None
    assert weights is not None
    pairs = [*zip(data.train.users().tolist(), data.train.items.tolist(), strict=True)]
    pairs += [(user, item) for part in (data.validation, data.test) for user, item in part.tolist()]
    found = dict(zip(pairs, data.weights.tolist(), strict=True))
    other = zip(positives.users().tolist(), positives.items.tolist(), strict=True)
    assert found == dict(zip(other, weights.tolist(), strict=True))
    return {(data.user_ids[user], data.item_ids[item]): weight for (user, item), weight in found.items()}


def folder(path: Path) -> None:
    path.mkdir()
    (path / "events-0.csv").write_text(text(ROWS[6:]))
    parquet.write_table(table(ROWS[:3]), path / "events-1.parquet")
    (path / "events-2.csv.gz").write_bytes(gzip.compress(text(ROWS[3:6]).encode()))


FORMATS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: path.write_text(text(ROWS)),
    "a.tsv": lambda path: path.write_text(text(ROWS, "\t")),
    "a.dat": lambda path: path.write_text(text(ROWS, "::")),
    "padded.csv": lambda path: path.write_text(text([(*row[:2], f" {row[2]} ", row[3]) for row in ROWS])),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(text(ROWS).encode())),
    "a.csv.xz": lambda path: path.write_bytes(lzma.compress(text(ROWS).encode())),
    "a.parquet": lambda path: parquet.write_table(table(ROWS), path),
    "dictionary.parquet": lambda path: parquet.write_table(
        table(ROWS).set_column(2, "event_type", table(ROWS)["event_type"].dictionary_encode()), path
    ),
    "small groups.parquet": lambda path: parquet.write_table(table(ROWS), path, row_group_size=2),
    "folder": folder,
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_positive_has_the_sum_of_the_weights_of_its_events(name: str, tmp_path: Path) -> None:
    FORMATS[name](tmp_path / name)
    prepared = made(tmp_path / name)
    assert by_pair(prepared.dataset) == SUMS
    prepared.dataset.save(tmp_path / "dataset", {}, {})
    assert by_pair(Dataset.load(tmp_path / "dataset")) == SUMS
    assert [(event.name, event.weight, event.count) for event in prepared.choice.types] == [
        ("cart", 2.5, 2), ("purchase", 5.0, 2), ("view", 1.0, 7),
    ]  # fmt: skip
    assert prepared.metrics()["dropped_duplicates"] == 3


@pytest.mark.parametrize("column", ["event_type", "3"])
def test_the_column_is_given_by_name_or_place(column: str, tmp_path: Path) -> None:
    FORMATS["a.csv"](tmp_path / "a.csv")
    assert by_pair(made(tmp_path / "a.csv", event_column=column).dataset) == SUMS


def test_without_a_header_the_column_is_given_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_text(text(ROWS, "::", header=False))
    assert by_pair(made(tmp_path / "a.dat", event_column="3").dataset) == SUMS
    with pytest.raises(
        InputError, match=r"which column is the event\? .* no header; give its name or number with event_col"
    ):
        made(tmp_path / "a.dat")


@pytest.mark.parametrize(
    ("codes", "names"),
    [
        ([0, 1, 2], ["0", "1", "2"]),
        ([0.0, 1.0, 2.0], ["0", "1", "2"]),
        ([False, True, True], ["false", "true", "true"]),
    ],
)  # fmt: skip
def test_types_that_are_numbers_or_flags(codes: list[object], names: list[str], tmp_path: Path) -> None:
    kinds = list(WEIGHTS)
    column = pa.array([codes[kinds.index(row[2])] for row in ROWS])
    parquet.write_table(table(ROWS).set_column(2, "event_type", column), tmp_path / "a.parquet")
    weights = dict(zip(names, (1.0, 2.5, 2.5), strict=True))
    found = by_pair(made(tmp_path / "a.parquet", event_weights=weights).dataset)
    assert found[("u1", "a")] == 4.5


def test_events_of_weight_zero_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rows = [*ROWS, ("u3", "only viewed", "view", 300)]
    (tmp_path / "a.csv").write_text(text(rows))
    with pytest.raises(
        InputError, match=r"no user has 3 pos.*; event_weights leaves out 10 of 12 events: 'cart', 'view'"
    ):
        made(tmp_path / "a.csv", event_weights={"purchase": 1, "*": 0})
    rows += [("u2", item, "purchase", 300 + n) for n, item in enumerate(["a", "b", "d"])]
    (tmp_path / "a.csv").write_text(text(rows))
    prepared = made(tmp_path / "a.csv", event_weights={"purchase": 2, "*": 0})
    bought = [("u1", "a"), ("u1", "d"), ("u2", "a"), ("u2", "b"), ("u2", "d")]
    assert by_pair(prepared.dataset) == dict.fromkeys(bought, 2)
    assert "event_weights leaves out 10 of 15 events: 'cart', 'view'" in caplog.text
    assert prepared.metrics()["dropped_left_out_events"] == 10
    assert "u3" not in prepared.dataset.user_ids


def test_a_type_without_a_weight_is_named_with_all_that_are_found(tmp_path: Path) -> None:
    rows = [*ROWS, ("u1", "a", "refund", 110), ("u1", "b", "refund", 111), ("u1", "b", "swipe", 112)]
    (tmp_path / "a.csv").write_text(text(rows))
    with pytest.raises(InputError) as caught:
        made(tmp_path / "a.csv")
    assert str(caught.value) == (
        f"{tmp_path}/a.csv: row 13, column 'event_type': event type 'refund', of 2 events, has no weight in event_weights "
        "(nor have 'swipe'); expected weights for 'view' (7), 'cart' (2), 'purchase' (2), 'refund' (2), 'swipe' (1), or "
        "'*' for all others"
    )
    assert by_pair(made(tmp_path / "a.csv", event_weights={**WEIGHTS, "*": 0.0}).dataset) == SUMS
    assert (
        by_pair(made(tmp_path / "a.csv", event_weights={"purchase": 5, "cart": 2.5, "*": 1}).dataset)[("u1", "b")] == 3
    )


def test_the_file_of_a_type_without_a_weight_is_named(tmp_path: Path) -> None:
    folder(tmp_path / "in")
    (tmp_path / "in" / "events-3.csv").write_text(text([("u1", "a", "View", 7)]))
    with pytest.raises(
        InputError, match=r"in/events-3\.csv: row 2, column 'event_type': event type 'View', of 1 events"
    ):
        made(tmp_path / "in")


def test_a_column_without_weights_lists_its_types(tmp_path: Path) -> None:
    FORMATS["a.csv"](tmp_path / "a.csv")
    with pytest.raises(InputError) as caught:
        made(tmp_path / "a.csv", event_column="event_type", event_weights={})
    assert str(caught.value).endswith(
        'expected a weight for each event type, such as {"cart": 1, "purchase": 1, "view": 1}, where 0 leaves events '
        "out; the types are 'view' (7), 'cart' (2), 'purchase' (2)"
    )


def test_a_weight_that_no_event_has_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    FORMATS["a.csv"](tmp_path / "a.csv")
    made(tmp_path / "a.csv", event_weights={"buy": 5, "*": 1})
    assert (
        "event_weights has 'buy', which no event is; the types are 'view' (7), 'cart' (2), 'purchase' (2)"
        in caplog.text
    )


@pytest.mark.parametrize("missing", ["", " ", "null", "NaN"])
def test_an_event_without_a_type_cannot_be_read(missing: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text([*ROWS[:2], ("u1", "a", missing, 5), *ROWS]))
    with pytest.raises(InputError, match=r"row 4, column 'event_type': .*; expected an event type \(1 of 14 rows"):
        made(tmp_path / "a.csv", event_weights={"*": 1})
    found = made(tmp_path / "a.csv", event_weights={"*": 1}, max_unreadable=0.1)
    assert (found.metrics()["read"], found.metrics()["dropped_unreadable"]) == (14, 1)


def test_a_column_of_other_values_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MAX_TYPES", 3)
    (tmp_path / "a.csv").write_text(text([*ROWS, ("u1", "a", "fourth", 9), ("u1", "a", "fifth", 9)]))
    with pytest.raises(
        InputError, match=r"row 13, .*'fourth' is the 4th value; .* 3 at most; event_column names another"
    ):
        made(tmp_path / "a.csv")
    parquet.write_table(table(ROWS).set_column(2, "event_type", pa.array([0.5] * len(ROWS))), tmp_path / "a.parquet")
    with pytest.raises(
        InputError, match=r"row 1, .*0.5 of type double; expected event types that are .*; event_column "
    ):
        made(tmp_path / "a.parquet")


def test_every_file_of_a_folder_has_the_column(tmp_path: Path) -> None:
    folder(tmp_path / "in")
    (tmp_path / "in" / "events-3.csv").write_text("user_id,item_id,event_time\nu1,a,7\n")
    with pytest.raises(
        InputError, match=r"events-3\.csv: which column is the event\? It has 'user_id', 'item_id', 'event"
    ):
        made(tmp_path / "in")


ROW = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from("wxyz"),
    st.sampled_from(["view", "cart", "buy", "spam"]),
    st.integers(1, 20),
)
REAL = {"view": 0.1, "cart": 0.7, "buy": 3.3, "spam": 0.0}


@given(st.lists(ROW, min_size=30, max_size=60), st.randoms(use_true_random=False), st.sampled_from(["latest", "first"]))
@settings(deadline=None, max_examples=20)
def test_weights_are_sums_whatever_the_order_of_rows(rows: list[Row], random: object, keep: str) -> None:
    rows += [(user, item, "buy", 21 + n) for n, (user, item) in enumerate((u, i) for u in "abc" for i in "wxyz")]
    found = []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(2):
            random.shuffle(rows)  # type: ignore[attr-defined]
            (Path(name) / "a.csv").write_text(text(rows))
            found.append(by_pair(made(Path(name) / "a.csv", event_weights=REAL, duplicates=keep).dataset))
    assert found[0] == found[1]
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for user, item, kind, _ in rows:
        sums[(user, item)] += REAL[kind]
    assert found[0] == pytest.approx({pair: weight for pair, weight in sums.items() if weight}, rel=1e-6)


def test_training_does_not_know_weights_of_later_periods(tmp_path: Path) -> None:
    rows = [(user, item, "view", time) for time, (user, item) in enumerate([*zip("aabbcc", "xyxzyz", strict=True)], 1)]
    rows += [(user, item, "view", 50) for user, item in zip("abc", "zyx", strict=True)]
    rows += [("a", "x", "buy", 40), ("a", "x", "buy", 90), ("a", "x", "cart", 2), ("b", "z", "buy", 90)]
    rows += [("a", "w", "view", 5), ("b", "w", "view", 95), ("c", "w", "view", 96)]
    (tmp_path / "a.csv").write_text(text(rows))
    dates = {"split": "temporal", "test_after": "80", "validation_after": "30"}
    weights = {"view": 1, "cart": 10, "buy": 100}
    first = by_pair(made(tmp_path / "a.csv", event_weights=weights, duplicates="first", **dates).dataset)
    assert (first[("a", "x")], first[("b", "z")], first[("b", "w")]) == (11, 1, 1)
    latest = by_pair(made(tmp_path / "a.csv", event_weights=weights, **dates).dataset)
    assert latest[("a", "x")] == 211


def test_the_release_format_has_no_event_types(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"event_weights is \{'view': 1\}, but the data are in the NCF release format"):
        prepare_release([tmp_path], Settings(event_weights={"view": 1}))
