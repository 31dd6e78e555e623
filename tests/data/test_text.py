"""Text that is read in blocks: where they are cut makes no difference."""

from __future__ import annotations

import csv
import gzip
import io
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ncf.data import text
from ncf.data.reading import columns, read_interactions
from ncf.data.tables import read_blocks
from ncf.errors import InputError

COMMENTS = st.lists(
    st.sampled_from(["", "plain", "two\nlines", 'a ""quoted"" word', ",", "\n\n"]), min_size=1, max_size=30
)


@given(COMMENTS, st.integers(40, 200))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_blocks_are_cut_between_rows(tmp_path: Path, comments: list[str], size: int) -> None:
    path = tmp_path / "rows.csv"
    rows = [f'u{n},"{comment}",i{n},3' for n, comment in enumerate(comments)]
    path.write_text("\n".join(["user,comment,item,rating", *rows, ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_BYTES_PER_BLOCK", size)
        blocks = list(read_blocks(path, columns()))
    assert [id_ for block in blocks for id_ in block.columns["user"].to_pylist()] == [f"u{n}" for n in range(len(rows))]
    assert [id_ for block in blocks for id_ in block.columns["item"].to_pylist()] == [f"i{n}" for n in range(len(rows))]
    lines, numbers = 1, []
    for row in rows:
        lines += row.count("\n") + 1
        numbers.append(lines)
    assert [block.row_number(n) for block in blocks for n in range(block.rows)] == numbers


@pytest.mark.parametrize("size", [40, 64, 1000])
@pytest.mark.parametrize(("bad", "what"), [("u,i,x,1", "column 'rating': 'x'"), ("u,i,1", "3 fields")])
def test_rows_are_numbered_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, bad: str, what: str
) -> None:
    monkeypatch.setattr(text, "_BYTES_PER_BLOCK", size)
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["user,item,rating,ts", *["u,i,1,1"] * 50, bad, "u,i,1,1"]))
    with pytest.raises(InputError, match=f"row 52[,:] {what}"):
        read_interactions(path, columns())


@pytest.mark.parametrize(
    ("rows", "users"),
    [
        (['"user"\t"item"', '"u1"\t"i1"', '"u2"\t"i2"'], ["u1", "u2"]),
        (["user\titem", '"u1"\t"i1"', '"u2"\t"i2"'], ["u1", "u2"]),
        (['"user"\t"item"\t"n"', '"u""1"\t"i\t1"\t1', '"u2"\t"i\n2"\t2'], ['u"1', "u2"]),
        (["user\titem\ttitle", 'u1\ti1\t"Heroes"', 'u2\ti2\t"weird al" tea'], ["u1", "u2"]),
        (["user\titem\ttitle", 'u1\ti1\t12" tea', 'u2\ti2\t"tea'], ["u1", "u2"]),
    ],
    ids=["header and rows", "rows", "tab and mark within", "title in marks", "lone marks"],
)
def test_quotation_marks_of_tsv(tmp_path: Path, rows: list[str], users: list[str]) -> None:
    (tmp_path / "r.tsv").write_text("\n".join([*rows, ""]))
    assert list(read_interactions(tmp_path / "r.tsv", columns()).user_ids) == users


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "mixed"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_line_ends_and_encodings(tmp_path: Path, ends: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_BYTES_PER_BLOCK", 64)
    lines = ["user,item", *(f"u{n:03}\u00e9,i{n:03}" for n in range(50))]
    signs = ["\r\n", "\n", "\n"] if ends == "mixed" else [ends]
    content = "".join(line + signs[number % len(signs)] for number, line in enumerate(lines))
    (tmp_path / "r.csv").write_bytes(content.encode(encoding))
    found = read_interactions(tmp_path / "r.csv", columns())
    assert list(found.user_ids) == [f"u{n:03}\u00e9" for n in range(50)]
    assert list(found.item_ids) == [f"i{n:03}" for n in range(50)]


def test_an_unbalanced_quotation_mark_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_BYTES_PER_BLOCK", 64)
    path = tmp_path / "rows.csv"
    path.write_text("user,item\n" + 'u,"i\n' + "u,i\n" * 100)
    with pytest.raises(InputError, match=r"rows\.csv: a row longer than .* quotation mark"):
        read_interactions(path, columns())


def test_long_fields_leave_the_limit_of_other_readers(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "rows.csv"
    path.write_text(f'user,item,{"x" * 2 * before}\nu,i,"{"x" * 2 * before}"\nu,i\n')
    with pytest.raises(InputError, match="row 3: 2 fields"):
        read_interactions(path, columns())
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("rows", [['u,"i,1,1'], ['"u,i,1,1']], ids=["item", "user"])
def test_the_row_of_an_unbalanced_quotation_mark_is_named(rows: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["user,item,rating,ts", *["u,i,1,1"] * 3, *rows, *["u,i,1,1"] * 9, ""]))
    with pytest.raises(InputError, match=r"it begins in row 5: is a quotation mark unbalanced there\?"):
        read_interactions(path, columns())


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_line_ends_end_a_row(sign: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"u1,i{sign}1,1\nu2,i2,2\n")
    found = read_interactions(tmp_path / "rows.csv", columns())
    assert set(found.item_ids) == {f"i{sign}1", "i2"}


def _tar(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("rows.csv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\x14\0\0\0", "is a zip archive or a workbook; expected text"),
        (gzip.compress(gzip.compress(b"user,item\n")), "is gzip data within compressed data"),
        (gzip.compress(b"PAR1\x15\0"), "is compressed parquet"),
        (_tar(b"user,item\n"), "is a tar archive; expected text, such as CSV, or parquet; unpack or convert the file"),
    ],
    ids=["zip", "gzip twice", "parquet in gzip", "tar"],
)
def test_content_that_is_no_text_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"rows\.csv: {said}"):
        read_interactions(tmp_path / "rows.csv", columns())


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst", ".xz"])
def test_a_plain_file_with_the_ending_of_a_compressed_one(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"rows.csv{suffix}").write_text("user,item\nu,i\n")
    with pytest.raises(InputError, match=rf"if it is not compressed, leave out the ending \{suffix}$"):
        read_interactions(tmp_path / f"rows.csv{suffix}", columns())


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ('user,"item\nid",rating', "'user,\"item', has a field in quotation marks that holds a line break"),
        ('user,item,"rating\r\n(stars)"', "holds a line break; expected the first row on one line"),
        ('user,item,"rating', "has a field in quotation marks that has no end"),
    ],
)
def test_a_header_on_several_lines_is_named(header: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(f"{header}\nu,i,3\nu,j,4\n".encode())
    with pytest.raises(InputError, match=re.escape(said)):
        list(read_blocks(tmp_path / "rows.csv", columns()))


def test_a_quotation_mark_within_a_field_of_the_header_is_text(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('user,item,size 5"\nu,i,3\n')
    assert [block.rows for block in read_blocks(tmp_path / "rows.csv", columns())] == [1]
