"""Users on a list of forgotten ones: the data set is that of data from which their rows were deleted by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from ncf.artifacts import manifest
from ncf.artifacts.forgotten import write
from ncf.errors import InputError
from ncf.stage.execution import run
from ncf.stages.preprocess import Preprocess

HEADER = ("userId", "itemId", "rating", "timestamp")
# text ids among whole numbers decide the order of ids, milliseconds among seconds that of times
ROWS: list[tuple[Any, ...]] = [
    *[(user, item, 4, 1_000_000_000 + 100 * user + item) for user in (2, 10, 9) for item in (30, 4, 100, 7)],
    ("anna", "x1", 5, 1_000_009_000),
    ("anna", 4, 5, 1_000_009_100),
    (10, 4, 1, 1_000_009_200),
    (77, 30, "broken", 1_000_009_300),
    (77, "x2", 3, "never"),
]
FORGOTTEN = ["anna", "77", "nobody"]


def write_csv(path: Path, rows: list[tuple[Any, ...]]) -> None:
    path.write_text("\n".join([",".join(HEADER), *(",".join(map(str, row)) for row in rows)]) + "\n")


def write_parquet(path: Path, rows: list[tuple[Any, ...]]) -> None:
    columns = {name: pa.array([str(row[number]) for row in rows]) for number, name in enumerate(HEADER)}
    parquet.write_table(pa.table(columns), path)


def kept(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row for row in rows if str(row[0]) not in FORGOTTEN]


def preprocess(data: Path, folder: Path, *arguments: str) -> tuple[dict[str, Any], dict[str, float], str]:
    outputs = {"dataset": folder / "dataset", "report": folder / "report.html", "metrics": folder / "metrics.json"}
    run(Preprocess, [f"--interactions={data}", *(f"--{name}={path}" for name, path in outputs.items()), *arguments])
    content = manifest.read(outputs["dataset"], "dataset")
    return content, json.loads(outputs["metrics"].read_text()), outputs["report"].read_text()


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    (tmp_path / "forgotten").mkdir()
    write(tmp_path / "forgotten", FORGOTTEN)
    return tmp_path / "forgotten"


@pytest.mark.parametrize(("suffix", "writer"), [("csv", write_csv), ("parquet", write_parquet)])
def test_the_bytes_are_those_of_data_without_the_rows(
    suffix: str, writer: Callable[..., None], lists: Path, tmp_path: Path
) -> None:
    writer(tmp_path / f"all.{suffix}", ROWS)
    writer(tmp_path / f"kept.{suffix}", kept(ROWS))
    by_list, metrics, report = preprocess(tmp_path / f"all.{suffix}", tmp_path / "one", f"--forgotten-uri={lists}")
    by_hand, expected, _ = preprocess(tmp_path / f"kept.{suffix}", tmp_path / "other")
    assert manifest.fingerprint(by_list) == manifest.fingerprint(by_hand)
    assert metrics.pop("dropped_forgotten") == len(ROWS) - len(kept(ROWS)) == 4
    assert metrics.pop("read") == expected.pop("read") + 4
    assert metrics == expected
    assert re.search("<td[^>]*>Of forgotten users</td><td[^>]*>4</td>", report)
    assert not any(user in report for user in ("anna", "nobody"))


def test_a_folder_in_which_a_whole_file_is_of_forgotten_users(lists: Path, tmp_path: Path) -> None:
    for name, rows in (("all", ROWS), ("kept", kept(ROWS))):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "ratings-1.csv", [row for row in rows if row[0] == "anna"])
        write_csv(tmp_path / name / "ratings-2.csv", [row for row in rows if row[0] != "anna"])
    by_list, _, _ = preprocess(tmp_path / "all", tmp_path / "one", "--forgotten-uri", str(lists))
    by_hand, _, _ = preprocess(tmp_path / "kept", tmp_path / "other")
    assert manifest.fingerprint(by_list) == manifest.fingerprint(by_hand)


def test_errors_name_the_row_of_the_file(lists: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "all.csv", [("anna", 1, 5, 1), *ROWS, (2, 8, "bad", 1_000_000_900)])
    with pytest.raises(InputError, match=f"row {len(ROWS) + 3}, column 'rating'"):
        preprocess(tmp_path / "all.csv", tmp_path / "one", f"--forgotten-uri={lists}")


def test_the_manifest_names_the_list(lists: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "all.csv", kept(ROWS))
    first, metrics, _ = preprocess(tmp_path / "all.csv", tmp_path / "one", f"--forgotten-uri={lists}")
    assert metrics["dropped_forgotten"] == 0
    write(lists, ["more"])
    second, _, _ = preprocess(tmp_path / "all.csv", tmp_path / "one", f"--forgotten-uri={lists}")
    assert first["source"]["forgotten"] != second["source"]["forgotten"]
    assert manifest.fingerprint(first) == manifest.fingerprint(second)


def test_an_empty_list_is_a_list(tmp_path: Path) -> None:
    write_csv(tmp_path / "all.csv", kept(ROWS))
    write(tmp_path, [])
    (path,) = tmp_path.glob("forgotten-*.json")
    _, metrics, _ = preprocess(tmp_path / "all.csv", tmp_path / "one", f"--forgotten-uri={path}")
    assert metrics["dropped_forgotten"] == 0


def test_a_run_without_its_list_fails(tmp_path: Path) -> None:
    write_csv(tmp_path / "all.csv", ROWS)
    with pytest.raises(InputError, match="nowhere: no list of forgotten users"):
        preprocess(tmp_path / "all.csv", tmp_path / "one", f"--forgotten-uri={tmp_path / 'nowhere'}")


def test_a_release_is_taken_as_it_is(lists: Path, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "a.train.rating").write_text("".join(f"0\t{item}\t1\t{item}\n" for item in range(3)))
    (folder / "a.test.rating").write_text("0\t3\t1\t3\n")
    (folder / "a.test.negative").write_text("(0,3)\t4\t5\n")
    with pytest.raises(InputError, match="forgotten_uri is .* NCF release format"):
        preprocess(folder, tmp_path / "one", f"--forgotten-uri={lists}")
