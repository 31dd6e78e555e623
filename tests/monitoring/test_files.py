"""Files of the data capture, and the memory that reading them takes."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import pytest
from captured import observed, of_user, population, window, write

from ncf.monitoring.files import captured_lines, lines


def test_lines_of_all_variants_and_hours(tmp_path: Path) -> None:
    write(tmp_path, "shop", [of_user("u1", ["i1"], seconds) for seconds in (0, 10, 3600, 90_000)])
    write(tmp_path, "shop", [of_user("u1", ["i1"], 7200)], variant="challenger")
    write(tmp_path, "other", [of_user("u1", ["i1"])])
    found = [line.variant for line in captured_lines(str(tmp_path), "shop", window())]
    assert found == ["AllTraffic"] * 3 + ["challenger"]
    assert list(captured_lines(str(tmp_path), "missing", window())) == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", []),
        (b"\n\n a \n", [b" a \n"]),
        (b"abcd\nef", [b"abcd\n", b"ef"]),
        (b"abcde\nef", [None, b"ef"]),
        (b"a" * 1000, [None]),
        (b"a" * 1000 + b"\nab\n" + b"b" * 9, [None, b"ab\n", None]),
    ],
)
def test_a_line_that_is_too_long_is_skipped(content: bytes, found: list[bytes | None]) -> None:
    assert list(lines(io.BytesIO(content), limit=4)) == found


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_records(tmp_path: Path, times: int) -> None:
    known = population({f"u{user}": 3 for user in range(2000)}, {f"i{item}": 5 for item in range(2000)})
    hours, few = 20, 1000

    def peak(records: int) -> int:
        folder = tmp_path / str(records)
        for hour in range(hours):
            (folder / "shop" / "AllTraffic" / f"2026/05/04/{hour:02d}").mkdir(parents=True)
        first = folder / "records.jsonl"
        with first.open("w") as stream:
            for number in range(records // hours):
                items = [f"i{(number * 7 + place) % 2000}" for place in range(10)]
                stream.write(json.dumps(of_user(f"u{number % 2500}", items, number % 80_000)) + "\n")
        for folder_of_hour in (folder / "shop" / "AllTraffic").glob("*/*/*/*"):
            (folder_of_hour / "0.jsonl").symlink_to(first)
        observation = observed(known, [])
        tracemalloc.start()
        observation.read(captured_lines(str(folder), "shop", window()))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert observation.total().records == records
        assert not observation.total().faults
        return most

    assert peak(few * times) < peak(few) + (4 << 20)
