"""The preprocess stage, run as its command is."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from local_account import executor_input
from pyarrow import parquet

import ncf
from ncf.artifacts import manifest
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.provenance import code_fingerprint
from ncf.errors import InputError
from ncf.reports import dataset as dataset_report
from ncf.stage.execution import run
from ncf.stages.preprocess import Preprocess
from ncf.storage import sha256

HEADER = "userId,movieId,rating,timestamp"
# two users and their items in order of time
ROWS = [("u1", f"i{item}", 4, 100 + item) for item in range(5)] + [
    ("u2", f"i{item}", 3, 200 - item) for item in range(4)
]
Preprocessed = tuple[Dataset, dict[str, float], str]


def preprocess(path: Path | str, output: Path, *arguments: str) -> Preprocessed:
    outputs = {
        "dataset": output / "dataset",
        "report": output / "report.html",
        "metrics": output / "metrics.json",
    }
    flags = [f"--{name}={path}" for name, path in outputs.items()]
    run(Preprocess, ["--interactions", str(path), *flags, *arguments])
    return (
        Dataset.load(outputs["dataset"]),
        json.loads(outputs["metrics"].read_text()),
        outputs["report"].read_text(),
    )


def text(rows: list[tuple[Any, ...]] = ROWS, separator: str = ",", header: str = HEADER) -> str:
    lines = [header.replace(",", separator)] if header else []
    return "\n".join(lines + [separator.join(map(str, row)) for row in rows]) + "\n"


def by_id(dataset: Dataset) -> dict[str, list[str]]:
    """What each user has: training items, then the validation and the test item."""
    found = {
        dataset.user_ids[user]: [dataset.item_ids[item] for item in dataset.train.of_user(user)]
        for user in range(dataset.n_users)
    }
    for pairs in (dataset.validation, dataset.test):
        for user, item in pairs.tolist():
            found[dataset.user_ids[user]].append(dataset.item_ids[item])
    return found


IN_ORDER = {"u1": ["i0", "i1", "i2", "i3", "i4"], "u2": ["i3", "i2", "i1", "i0"]}


def write_parquet(path: Path, rows: list[tuple[Any, ...]] = ROWS) -> None:
    columns = list(zip(*rows, strict=True))
    parquet.write_table(pa.table(dict(zip(HEADER.split(","), map(list, columns), strict=True))), path)


def write_zstd(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(text().encode())


def write_folder(path: Path) -> None:
    path.mkdir()
    (path / "README.md").write_text("about")
    (path / "users.csv").write_text("userId,age\nu1,3\n")
    (path / "part-0.csv").write_text(text(ROWS[:4]))
    (path / "part-1.csv.gz").write_bytes(gzip.compress(text(ROWS[4:]).encode()))
    (path / "_SUCCESS").write_text("")


FORMATS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: path.write_text(text()),
    "windows.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + text().replace("\n", "\r\n").encode()),
    "utf16.csv": lambda path: path.write_bytes(text().encode("utf-16")),
    "cr_only.csv": lambda path: path.write_bytes(text().replace("\n", "\r").encode()),
    "packed.csv": lambda path: path.write_bytes(gzip.compress(text().encode())),
    "parquet_without_suffix": lambda path: write_parquet(path),
    "space.txt": lambda path: path.write_text(text(separator=" ")),
    "quoted.tsv": lambda path: path.write_text(
        text([(f'"{row[0]}"', f'"{row[1]}"', *row[2:]) for row in ROWS], "\t", HEADER.replace(",", '","').join('""'))
    ),
    "padded.csv": lambda path: path.write_text(text([(f"{row[0]}   ", f" {row[1]}", *row[2:]) for row in ROWS])),
    "no_line_end.csv": lambda path: path.write_text(text().rstrip("\n")),
    "blank_lines.csv": lambda path: path.write_text("\n" + text().replace("\n", "\n\n")),
    "a.tsv": lambda path: path.write_text(text(separator="\t")),
    "semicolon.csv": lambda path: path.write_text(text(separator=";")),
    "other_order.csv": lambda path: path.write_text(
        text([(row[3], row[1], row[0]) for row in ROWS], header="ts,item_id,USER")
    ),
    "quoted.csv": lambda path: path.write_text(
        text([(*row, '"a, ""b""\nc"') for row in ROWS], header=HEADER + ",comment")
    ),
    "ratings.dat": lambda path: path.write_text(text(separator="::", header="")),
    "iso.csv": lambda path: path.write_text(
        text([(*row[:3], f"2024-01-01T00:{row[3] // 60:02}:{row[3] % 60:02}Z") for row in ROWS])
    ),
    "milliseconds.csv": lambda path: path.write_text(text([(*row[:3], 1_700_000_000_000 + row[3]) for row in ROWS])),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(text().encode())),
    "a.csv.xz": lambda path: path.write_bytes(lzma.compress(text().encode())),
    "a.csv.zst": write_zstd,
    "a.parquet": write_parquet,
    "folder": write_folder,
}


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of a run's second: only the tests of the report's bytes undo this."""
    monkeypatch.setattr(dataset_report, "svg", lambda _: "<svg/>")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same(name: str, tmp_path: Path) -> None:
    FORMATS[name](tmp_path / name)
    dataset, metrics, report = preprocess(tmp_path / name, tmp_path / "output")
    assert by_id(dataset) == IN_ORDER
    assert dataset.test.tolist() == [[0, 4], [1, 0]]
    assert dataset.validation.tolist() == [[0, 3], [1, 1]]
    assert {name: metrics[name] for name in ("users", "items", "interactions", "train", "validation", "test")} == {
        "users": 2, "items": 5, "interactions": 9, "train": 5, "validation": 2, "test": 2,
    }  # fmt: skip
    assert metrics["sparsity"] == pytest.approx(0.1)
    assert "Sparsity" in report
    assert report.count("<svg") == 3


def test_integer_ids_are_ordered_by_value(tmp_path: Path) -> None:
    rows = [(user, item, 1, item) for user in (10, 9) for item in (100, 20, 3)]
    (tmp_path / "a.csv").write_text(text(rows))
    write_parquet(tmp_path / "a.parquet", rows)
    for name in ("a.csv", "a.parquet"):
        dataset, _, _ = preprocess(tmp_path / name, tmp_path / "output")
        assert list(dataset.user_ids) == ["9", "10"]
        assert list(dataset.item_ids) == ["3", "20", "100"]


def test_what_later_stages_will_take_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "a.csv").write_text(text())
    preprocess(tmp_path / "a.csv", tmp_path / "output")
    lines = [message.removeprefix("forecast: ") for message in caplog.messages if message.startswith("forecast: ")]
    assert lines[0] == "9 rows; after the filters 9 positives of 2 users and 5 items"
    starts = ("preprocess: ", "negative-sampling: ", "evaluate: ", "train, with default settings: ")
    assert [line.startswith(start) for line, start in zip(lines[1:5], starts, strict=True)] == [True] * 4
    assert lines[5].startswith("extrapolated: 9 rows are fewer than ")


def test_identical_input_gives_identical_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (tmp_path / "a.csv").write_text(text())
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output in outputs:
        preprocess(tmp_path / "a.csv", output)
    one, two = ({p.relative_to(o): p.read_bytes() for p in o.rglob("*") if p.is_file()} for o in outputs)
    assert one == two
    assert one[Path("report.html")].count(b"</svg>") == 3
    (tmp_path / "a.csv").write_text(text(ROWS[1:]))
    preprocess(tmp_path / "a.csv", tmp_path / "other")
    prints = [
        manifest.read(o / "dataset", "dataset")["source"]["fingerprint"] for o in (outputs[0], tmp_path / "other")
    ]
    assert prints[0] != prints[1]


def test_the_manifest_names_code_run_and_each_file_that_was_read(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder")
    flags = [f"--{name}={tmp_path / 'out' / name}" for name in ("dataset", "report", "metrics")]
    given = executor_input(Preprocess, [f"--interactions={tmp_path / 'folder'}", *flags], tmp_path, {})
    run(Preprocess, [*given, "--uncached", "run-7"])
    source = manifest.read(tmp_path / "out" / "dataset", "dataset")["source"]
    assert (source["run"], source["version"]) == ("run-7", ncf.__version__)
    assert source["code"] == code_fingerprint()
    assert source["files"] == {name: sha256(tmp_path / "folder" / name) for name in source["files"]}


def test_the_report_says_what_was_read_and_how(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder")
    _, _, report = preprocess(tmp_path / "folder", tmp_path / "output", "--min-user-interactions", "2")
    content = manifest.read(tmp_path / "output" / "dataset", "dataset")
    assert content["source"]["files"]
    header = HEADER.split(",")
    columns = ", ".join(f"{name} ({role})" for name, role in zip(header, ("user", "item", "rating", "timestamp")))
    for cell in (", ".join(content["source"]["files"]), columns, manifest.version(content)):
        assert f"<td>{cell}</td>" in report
    assert "Of users with fewer than 2 interactions" in report
    assert "<td>min_user_interactions</td><td>2</td><td>Minimum number of interactions of a user" in report


@pytest.mark.parametrize(
    ("keep", "expected"), [("latest", ["i0", "i2", "i3", "i1"]), ("first", ["i0", "i1", "i2", "i3"])]
)
def test_duplicates_are_merged_by_time(
    keep: str, expected: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "a.csv").write_text(text([("u1", "i1", 5, 900), *ROWS[:4]]))
    dataset, metrics, report = preprocess(tmp_path / "a.csv", tmp_path / "output", "--duplicates", keep)
    assert by_id(dataset) == {"u1": expected}
    assert metrics["dropped_duplicates"] == 1
    assert "Repeated pairs of user and item" in report
    assert f"dropped 1 repeated pairs of user and item; the {keep} was kept" in caplog.text


def test_low_ratings_short_users_and_items_are_dropped(tmp_path: Path) -> None:
    rows = [*ROWS, ("u3", "i0", 5, 1), ("u3", "i9", 5, 2), ("u3", "i8", 2.5, 3), ("u1", "i7", 2.9, 1)]
    (tmp_path / "a.csv").write_text(text(rows))
    dataset, metrics, _ = preprocess(
        tmp_path / "a.csv", tmp_path / "output",
        "--min-rating=3", "--min-user-interactions=3", "--min-item-interactions=2",
    )  # fmt: skip
    assert by_id(dataset) == {"u1": IN_ORDER["u1"][:4], "u2": IN_ORDER["u2"]}
    dropped = {name: count for name, count in metrics.items() if name.startswith("dropped_")}
    assert dropped == {
        "dropped_duplicates": 0, "dropped_low_rating": 2, "dropped_short_users": 2, "dropped_short_items": 1,
    }  # fmt: skip
    assert metrics["read"] == sum(dropped.values()) + metrics["interactions"]


def test_a_rating_equal_to_the_minimum_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text([("u", f"i{n}", 3.3, n) for n in range(3)]))
    assert preprocess(tmp_path / "a.csv", tmp_path / "output", "--min-rating=3.3")[1]["interactions"] == 3


@pytest.mark.parametrize(
    "rows", [[(*row[:3], 7) for row in ROWS], [row[:3] for row in ROWS]], ids=["constant", "absent"]
)
def test_without_times_items_are_held_out_by_seed(rows: list[tuple[Any, ...]], tmp_path: Path) -> None:
    header = HEADER if len(rows[0]) == 4 else HEADER.removesuffix(",timestamp")
    (tmp_path / "a.csv").write_text(text(rows, header=header))
    held_out = set()
    for seed in range(8):
        dataset, _, report = preprocess(tmp_path / "a.csv", tmp_path / "output", "--seed", str(seed))
        assert {user: sorted(items) for user, items in by_id(dataset).items()} == {
            user: sorted(items) for user, items in IN_ORDER.items()
        }
        held_out.add(str((dataset.validation.tolist(), dataset.test.tolist())))
        assert "drawn by seed" in report
    assert len(held_out) > 3


def test_titles_come_with_the_folder_or_from_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "ratings.csv").write_text(text())
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\nu1,i0,good,1\n")
    (folder / "movies.csv").write_text('movieId,title,genres\ni1,"One, the film (1999)",x\ni0,<b>Zero</b>,y\nz,Z,z\n')
    dataset, metrics, _ = preprocess(folder, tmp_path / "output")
    assert dataset.item_titles is not None
    assert list(dataset.item_titles) == ["<b>Zero</b>", "One, the film (1999)", "", "", ""]
    assert (metrics["titles"], metrics["read"]) == (2, 9)
    (tmp_path / "t.tsv").write_text("item\tlabel of it\ni4\tFour\n")
    dataset, _, _ = preprocess(
        folder / "ratings.csv",
        tmp_path / "output",
        "--items",
        str(tmp_path / "t.tsv"),
        "--title-column",
        "label of it",
    )
    assert dataset.item_titles is not None
    assert list(dataset.item_titles) == ["", "", "", "", "Four"]


def test_titles_of_movielens_100k(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """``u.item`` has no header, '|' between 24 columns, and is in latin-1."""
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    rows = [(user, str(int(item[1:]) + 1), *others) for user, item, *others in ROWS]
    (folder / "u.data").write_text(text(rows, "\t", ""))
    titles = [
        "Toy Story (1995)",
        "Jean de Florette (1986)",
        "Misérables, Les (1995)",
        'Day the Sun "Rose", The',
        "unknown",
    ]
    genres = "|".join("0" * 19)
    lines = [f"{number}|{title}|01-Jan-1995||http://x/?({number})|{genres}\n" for number, title in enumerate(titles, 1)]
    (folder / "u.item").write_bytes("".join(lines).encode("latin-1"))
    for path, arguments in ((folder, ()), (folder / "u.data", (f"--items={folder}/u.item",))):
        dataset, metrics, _ = preprocess(path, tmp_path / f"of-{path.name}", *arguments)
        assert dataset.item_titles is not None
        assert list(dataset.item_titles) == titles
        assert metrics["read"] == len(ROWS), "u.item holds no interactions"
    assert "u.item is not UTF-8 and is read as latin-1" in caplog.text


@pytest.mark.parametrize("titled", [2, 3])  # of 5 items
def test_few_titles_are_a_warning(titled: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "a.csv").write_text(text())
    (tmp_path / "t.csv").write_text("item,title\n" + "".join(f"i{item},T{item}\n" for item in range(titled)))
    _, metrics, report = preprocess(tmp_path / "a.csv", tmp_path / "output", "--items", str(tmp_path / "t.csv"))
    warning = "t.csv has a title for only 2 of the 5 items"
    assert metrics["titles"] == titled
    assert f"read titles of {titled} of 5 items from t.csv" in caplog.text
    assert (warning in report) is (warning in caplog.text) is (titled == 2)


def test_titles_for_none_of_the_items_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text())
    (tmp_path / "t.csv").write_text("item,title\n" + "".join(f"{item},T{item}\n" for item in range(4)) + "i0,\n")
    message = r"t\.csv: its 5 rows have a title for none of the 5 items; .*'i0', 'i1', 'i2', \.\.\.; .*: '0', '1', '2'"
    refused(tmp_path / "a.csv", tmp_path, message, "--items", str(tmp_path / "t.csv"))


def test_the_files_of_a_folder_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for day in range(7):
        (tmp_path / "in" / f"day{day}").mkdir(parents=True)
        (tmp_path / "in" / f"day{day}" / "events.csv").write_text(text([(f"{day}-{row[0]}", *row[1:]) for row in ROWS]))
    preprocess(tmp_path / "in", tmp_path / "output")
    listed = ", ".join(f"day{day}/events.csv" for day in range(5))
    assert f"reading folder in, files: 7: {listed} and 2 more" in caplog.text


def test_temporal_split(tmp_path: Path) -> None:
    rows = [("a", "x", 1, 10), ("a", "y", 1, 20), ("b", "x", 1, 20), ("b", "y", 1, 30), ("a", "z", 1, 30)]
    rows += [
        ("b", "x2", 1, 5),
        ("a", "x2", 1, 40),
        ("b", "y2", 1, 6),
        ("a", "y2", 1, 45),
        ("new", "x", 1, 50),
    ]
    (tmp_path / "a.csv").write_text(text(rows))
    dataset, metrics, report = preprocess(
        tmp_path / "a.csv",
        tmp_path / "output",
        "--split=temporal",
        "--test-after=40",
        "--validation-after=30",
    )
    assert by_id(dataset) == {"a": ["x", "y", "x2", "y2"], "b": ["x2", "y2", "x", "y"]}
    assert dataset.test.tolist() == [[0, 1], [0, 3]]
    assert metrics["dropped_unknown"] == 2  # z, seen in validation alone, and the new user
    assert "nothing of the future" in report


@pytest.mark.parametrize("keep", ["latest", "first"])
def test_temporal_split_says_what_repeats_do_to_it(keep: str, tmp_path: Path) -> None:
    rows = [("a", "x", 1, 10), ("a", "y", 1, 20), ("b", "y", 1, 12), ("b", "x", 1, 30), ("b", "z", 1, 13)]
    rows += [("a", "z", 1, 14), ("b", "x2", 1, 11), ("a", "x2", 1, 40), ("a", "x", 1, 45)]
    (tmp_path / "a.csv").write_text(text(rows))
    dates = ("--split=temporal", "--test-after=40", "--validation-after=20")
    _, metrics, report = preprocess(tmp_path / "a.csv", tmp_path / "output", *dates, "--duplicates", keep)
    assert metrics["dropped_duplicates"] == 1
    assert ("training lacks those that were repeated" in report) is (keep == "latest")


def test_temporal_validation_is_the_latest_tenth_before_test(tmp_path: Path) -> None:
    rows = [("u0", f"i{n}", 1, 2 * n) for n in range(10)] + [("u1", f"i{9 - n}", 1, 2 * n + 1) for n in range(10)]
    rows += [("u2", "i0", 1, -5), ("u2", "i1", 1, 100)]
    (tmp_path / "a.csv").write_text(text(rows))
    after = ("--split=temporal", "--test-after=1970-01-01T00:00:50")
    dataset, metrics, _ = preprocess(tmp_path / "a.csv", tmp_path / "output", *after)
    assert (metrics["train"], metrics["validation"], metrics["test"]) == (18, 3, 1)  # times 17, 18 and 19
    assert dataset.validation.tolist() == [[0, 9], [1, 1], [1, 0]]


CASES: dict[str, tuple[str | bytes | None, list[str], str]] = {
    "missing": (None, [], r"data\.csv: no such file"),
    "empty": ("", [], r"data\.csv: no rows of interactions"),
    "header only": (HEADER + "\n", [], r"data\.csv: no rows of interactions: it is empty or has only a header"),
    "no such column": (text(), ["--user-column=buyer"], r"no column 'buyer' \(user_column\); it has 'userId', 'movieId'"),
    "unknown columns": (
        text(header="a,b,c,d"), [], r"which column is the user\? It has 'a', 'b', 'c', 'd'; give its name or number with user_column",
    ),
    "rating": (text([*ROWS, ("u1", "i9", "good", 1)]), [], r"data\.csv: row 11, column 'rating': 'good'; expected a finite"),
    "rating nan": (text([*ROWS, ("u1", "i9", "nan", 1)]), [], r"row 11, column 'rating': 'nan'; expected a finite number"),
    "rating inf": (text([*ROWS, ("u1", "i9", "inf", 1)]), [], r"row 11, column 'rating': 'inf'; expected a finite number"),
    "rating empty": (text([*ROWS, ("u1", "i9", "", 1)]), [], r"rating': empty; .*'rating_column' names another column or 'none'\)"),
    "timestamp": (text([*ROWS, ("u1", "i9", 1, "soon")]), [], r"row 11, column 'timestamp': 'soon'; expected seconds or"),
    "timestamp, blank lines": (text([*ROWS, ("u1", "i9", 1, "soon")]).replace("\n", "\n\n"), [], r"row 21, column 'time"),
    "null user": (text([*ROWS, ("", "i9", 1, 1)]), [], r"data\.csv: row 11, column 'userId': empty; expected an id"),
    "null item": (text([*ROWS[:1], ("u1", " ", 1, 1)]), [], r"data\.csv: row 3, column 'movieId': empty; expected an id"),
    "UTF-16 without its mark": (text().encode("utf-16-le"), [], r"data\.csv: looks like UTF-16; .* iconv -f utf-16"),
    "UTF-16 cut short": (text().encode("utf-16")[:-1], [], r"data\.csv: damaged utf-16 text"),
    "not UTF-8": (text().replace("i3", "caf\xe9").encode("latin1"), [], r"data\.csv: row 5 is not UTF-8"),
    "too few fields": (text([*ROWS, ("u1", "i9")]), [], r"data\.csv: row 11: 2 fields separated by ','; the first row has 4"),
    "users below the minimum": (text(), ["--min-user-interactions=6"], r"min_user_interactions 6 .* at most 5 inter"),
    "ratings below the minimum": (text(), ["--min-rating=4.5"], r"min_rating is 4.5, but the highest rating is 4"),
    "no ratings": (text([row[:2] for row in ROWS], header="user,item"), ["--min-rating=1"], r"there is no rating column"),
    "one item": (text([(f"u{n}", "i1", 1, n) for n in range(5)]), [], r"only one item, 'i1', is left"),
    "nobody to hold out": (text([row for row in ROWS if row[1] < "i2"]), [], r"no user has 3 positives.*: 2 users have 4 positives, 2 at most; .* user_column"),
    "no train": (text(), ["--split=temporal", "--test-after=1"], r"test_after is 1970-01-01 00:00:01, which leaves no training"),
    "no test": (text(), ["--split=temporal", "--test-after=2030-01-01"], r"leaves no test data; the interactions run from 1970"),
    "dates swapped": (
        text(), ["--split=temporal", "--test-after=150", "--validation-after=160"], r"must be before test_after",
    ),
    "no date": (text(), ["--split=temporal"], r"requires test_after"),
    "bad date": (text(), ["--split=temporal", "--test-after=soon"], r"test_after is 'soon'; expected an ISO date"),
    "date without split": (text(), ["--test-after=2030-01-01"], r"it requires split 'temporal'"),
    "temporal without times": (
        text([row[:3] for row in ROWS], header="user,item,rating"), ["--split=temporal", "--test-after=1"], r"no timestamps",
    ),
    "unknown parameter": (text(), ["--colour=red"], r"colour"),
    "titles missing": (text(), ["--items=nowhere.csv"], r"nowhere\.csv: no such file"),
}  # fmt: skip


def refused(path: Path, tmp_path: Path, match: str, *arguments: str) -> None:
    output = tmp_path / "output"
    with pytest.raises(InputError, match=match) as caught:
        preprocess(path, output, *arguments)
    assert "\n" not in str(caught.value)
    assert not output.exists()


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    content, arguments, match = CASES[name]
    path = tmp_path / "data.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(path, tmp_path, match, *arguments)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst", ".bz2"])
@pytest.mark.parametrize("damage", ["cut", "not compressed"])
def test_damaged_compression_names_the_file(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"data.csv{suffix}"
    content = text([(f"u{n}", f"i{n * 7919 % 1000}", 1, n * n) for n in range(5000)]).encode()
    if damage == "cut":
        codec = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}.get(suffix)
        if codec:
            with pa.CompressedOutputStream(str(path), codec) as stream:
                stream.write(content)
        else:
            path.write_bytes(lzma.compress(content))
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    refused(path, tmp_path, rf"data\.csv\{suffix}: damaged or truncated")


@pytest.mark.parametrize("name", ["data.zip", "data.xlsx", "data.json", "data.csv.7z", "data.parquet.gz"])
def test_unsupported_files_name_those_accepted(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text())
    refused(tmp_path / name, tmp_path, rf"{name}: file type .* is not supported; (unpack it: )?expected one of \.csv")
    if name.endswith((".zip", ".7z")):
        refused(tmp_path / name, tmp_path, "unpack it")


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_text(text())
    refused(tmp_path / "data.parquet", tmp_path, r"data\.parquet: not a readable parquet file")


@pytest.mark.parametrize(
    ("column", "value"), [("userId", None), ("rating", None), ("timestamp", None), ("rating", float("nan"))]
)
def test_nulls_in_parquet_are_named(column: str, value: Any, tmp_path: Path) -> None:
    rows = [dict(zip(HEADER.split(","), row, strict=True)) for row in ROWS]
    rows[3][column] = value
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet")
    refused(tmp_path / "data.parquet", tmp_path, rf"data\.parquet: row 4, column '{column}'")


@pytest.mark.parametrize(
    ("files", "match"), [([], "is empty"), (["README.md", "photo.png"], r"holds README\.md, photo\.png")]
)
def test_a_folder_without_data(files: list[str], match: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("x")
    refused(folder, tmp_path, rf"folder: the folder {match}")


def test_movielens_latest_small(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ml-latest-small"
    outputs = [f"--{name}={tmp_path / name}" for name in ("dataset", "report", "metrics")]
    inputs = [f"--interactions={folder / 'ratings.csv'}", f"--items={folder / 'movies.csv'}"]
    run(Preprocess, [*inputs, *outputs])
    data = Dataset.load(tmp_path / "dataset")
    assert (data.n_users, data.n_items) == (610, 9724)
    assert len(data.test) == len(data.validation) == 610
    assert data.item_titles is not None
    assert data.item_titles[list(data.item_ids).index("1")] == "Toy Story (1995)"
