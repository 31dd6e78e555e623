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


@pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_records(tmp_path: Path, times: int) -> None:
    known = population({f"u{user}": 3 for user in range(2000)}, {f"i{item}": 5 for item in range(2000)})

    def peak(records: int) -> int:
        folder = tmp_path / str(records)
        for part in range(20):
            path = folder / "shop" / "AllTraffic" / f"2026/05/04/{part:02d}" / "0.jsonl"
            path.parent.mkdir(parents=True)
            with path.open("w") as stream:
                for number in range(records // 20):
                    items = [f"i{(number * 7 + place) % 2000}" for place in range(10)]
                    made = of_user(f"u{number % 2500}", items, part * 3600.0 + number % 3600)
                    stream.write(json.dumps(made) + "\n")
        observation = observed(known, [])
        tracemalloc.start()
        observation.read(captured_lines(str(folder), "shop", window()))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert observation.total().records == records
        assert not observation.total().faults
        return most

    assert peak(2_000 * times) < peak(2_000) + (4 << 20)
