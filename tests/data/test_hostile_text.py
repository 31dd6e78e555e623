"""Text made to cost much: it is refused in time that grows with its size, and in few words."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncf.data import text
from ncf.data.columns import SHOWN_CHARACTERS
from ncf.data.reading import columns, read_interactions
from ncf.errors import InputError

HEADER = b"user,item,rating\n"


@given(st.binary(max_size=60).map(lambda data: bytes(b'a"\n'[byte % 3] for byte in data)), st.integers(1, 7))
def test_a_block_ends_at_the_last_line_end_outside_quotation_marks(block: bytes, step: int) -> None:
    ends = [end + 1 for end, byte in enumerate(block) if byte == ord("\n") and block.count(b'"', 0, end) % 2 == 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_BYTES_PER_STEP", step)
        assert text._row_end(block, quoted=True) == max(ends, default=0)


@pytest.mark.parametrize("row", [b'"' + b"\n" * (4 << 20), b'"\n' * 999 + b'"x' + b"\n" * (4 << 20)])
def test_an_open_quotation_mark_costs_no_step_for_each_line(row: bytes) -> None:
    start = time.process_time()
    text._row_end(row, quoted=True)
    assert time.process_time() - start < 0.5, "some seconds, if each line is a step"


@pytest.mark.parametrize("row", [b"x" * 3000, b"a," * 3000, b'"' * 3000, b'"' + b"x," * 3000], ids=range(4))
@pytest.mark.parametrize("end", [b"", b"\nu,i,1\n"])
def test_a_first_row_that_is_too_long_is_refused(tmp_path: Path, monkeypatch, row, end) -> None:
    monkeypatch.setattr(text, "_MAX_FIRST_ROW", 2000)
    (tmp_path / "rows.csv").write_bytes(row + end)
    with pytest.raises(InputError, match=r"rows\.csv: the first row is longer than .* expected"):
        read_interactions(tmp_path / "rows.csv", columns())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 100_000 + b",b\n1,2\n", r"rows\.csv: which column is the user\? It has '"),
        (HEADER + b"u,i," + b"9" * 200_000 + b"\n", r"rows\.csv: row 2, column 'rating': '9+"),
        (HEADER + b"u,i," + b"z" * 200_000 + b"\n", r"rows\.csv: row 2, column 'rating': 'z+"),
        (HEADER + b"u,i,1," + b"z" * 200_000 + b"\n", r"rows\.csv: row 2: 4 fields"),
        (HEADER + b'u,"' + b"z" * 200_000 + b'"\n', r"rows\.csv: row 2: 2 fields"),
    ],
    ids=["header", "number", "rating", "field too many", "quoted"],
)
def test_a_long_field_is_quoted_in_part(tmp_path: Path, content, message) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        read_interactions(tmp_path / "rows.csv", columns())
    assert len(str(refused.value).removeprefix(str(tmp_path))) < 200 + SHOWN_CHARACTERS
    assert csv.field_size_limit() == 131_072, "the endpoint's limit"
