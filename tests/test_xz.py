"""xz data: read as by the lzma module, but in bounded memory."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ncf.artifacts.archive import unpack
from ncf.data.reading import columns, read_interactions
from ncf.errors import InputError
from ncf.xz import open_xz

CONTENT = np.random.default_rng(0).integers(0, 50, 300_000).astype(np.uint8).tobytes()


def hungry(content: bytes) -> bytes:
    """xz data whose header asks for a dictionary of 1 GiB. The encoder needs much more, so the header is changed."""
    small = lzma.compress(content, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}])
    header = bytearray(small[12 : 12 + (small[12] + 1) * 4])
    place = header.index(b"\x21\x01") + 2  # LZMA2, one byte of properties
    header[place] = 36  # 2 ** 30
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    return small[:12] + bytes(header) + small[12 + len(header) :]


FORMS: dict[str, Callable[[], bytes]] = {
    "one stream": lambda: lzma.compress(CONTENT),
    "largest preset": lambda: lzma.compress(CONTENT, preset=9),
    "two streams": lambda: lzma.compress(CONTENT[:1000]) + lzma.compress(CONTENT[1000:]),
    "padded streams": lambda: lzma.compress(CONTENT[:1000]) + bytes(8) + lzma.compress(CONTENT[1000:]) + bytes(200_000),
    "an empty stream": lambda: lzma.compress(b"") + lzma.compress(CONTENT) + lzma.compress(b""),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_content_comes_back(tmp_path: Path, form: str) -> None:
    path = tmp_path / "data.xz"
    path.write_bytes(FORMS[form]())
    with open_xz(path) as stream:
        assert stream.read() == CONTENT
        assert stream.read() == b""
        assert stream.seek(1234) == 1234
        assert stream.read(70_000) == CONTENT[1234:71_234]
        assert stream.seek(200_000) == 200_000
        assert stream.read() == CONTENT[200_000:]


@pytest.mark.parametrize("cut", [10, 40, 5000])
def test_truncated_data_are_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "data.xz"
    path.write_bytes(lzma.compress(CONTENT)[:-cut])
    with open_xz(path) as stream, pytest.raises(EOFError):
        stream.read()


@pytest.mark.parametrize("before", [b"", lzma.compress(b"user,item\n")], ids=["first", "second stream"])
def test_data_that_need_much_memory_are_refused(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "ratings.csv.xz"
    path.write_bytes(before + hungry(b"user,item\nu1,i1\n"))
    with pytest.raises(InputError, match=r"ratings\.csv\.xz: .*xz data \(Memory usage limit exceeded"):
        read_interactions(path, columns())


def test_an_archive_that_needs_much_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with tarfile.open(tmp_path / "plain.tar", "w") as tar:
        tar.add(tmp_path / "file", "file")
    (tmp_path / "model.tar.gz").write_bytes(hungry((tmp_path / "plain.tar").read_bytes()))
    with pytest.raises(InputError, match=r"model\.tar\.gz: cannot be unpacked: Memory usage limit exceeded"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")


@pytest.mark.parametrize("exponent", [18, 21])
def test_zstd_data_that_need_much_memory_are_refused(tmp_path: Path, exponent: int) -> None:
    path = tmp_path / "ratings.csv.zst"
    content = b"user,item\nu1,i1\n"
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, exponent << 3])  # a window of 2 ** (10 + exponent) bytes
    path.write_bytes(frame + (len(content) << 3 | 1).to_bytes(3, "little") + content)
    with pytest.raises(InputError, match=r"ratings\.csv\.zst: .*memory"):
        read_interactions(path, columns())
