"""Archives that were made to do harm, and one that was not."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_model import random_model

from ncf.artifacts import archive
from ncf.artifacts.archive import unpack, unpacked
from ncf.artifacts.model_folder import ModelFolder
from ncf.errors import InputError


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def pack(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return path


@pytest.mark.parametrize("top", [".", "model", "./some model"])
@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar.gz", "gz"), (".tgz", "gz"), (".tar", ""), (".tar.bz2", "bz2"), ("", "xz"), (".gz", "")]
)
def test_a_model_comes_out_of_its_archive(tmp_path: Path, suffix: str, mode: str, top: str) -> None:
    random_model().save(tmp_path / "model", {}, {})
    with tarfile.open(tmp_path / f"packed{suffix}", f"w:{mode}") as tar:
        tar.add(tmp_path / "model", top)
    with unpacked(tmp_path / f"packed{suffix}") as folder:
        model = ModelFolder.load(folder)
    assert not folder.exists()
    assert model.version == ModelFolder.load(tmp_path / "model").version
    assert model.item_ids[39] == "i39", "mapped files outlive the folder"


@pytest.mark.parametrize("name", ["model.zip", "manifest.json", "model.tar"])
def test_a_file_that_is_no_archive_says_what_is_accepted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK" + bytes(3000))
    with (
        pytest.raises(InputError, match=f"{name}: cannot be unpacked: .*; expected a tar archive of a model folder"),
        unpacked(tmp_path / name),
    ):
        pytest.fail("nothing is unpacked")


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    with unpacked(tmp_path) as folder:
        assert folder == tmp_path


ATTACKS: dict[str, tuple[Callable[[Path], tarfile.TarInfo], str]] = {
    "climbs": (lambda _: member("../escaped", size=4), "'../escaped' lies outside the folder"),
    "climbs inside": (lambda _: member("a/../../escaped", size=4), "lies outside the folder"),
    "absolute": (lambda root: member(str(root / "escaped"), size=4), "lies outside the folder"),
    "symbolic link": (lambda _: member("config.json", tarfile.SYMTYPE, "/etc/passwd"), "is a symbolic link"),
    "link to a folder": (lambda _: member("a", tarfile.SYMTYPE, ".."), "'a' is a symbolic link"),
    "hard link": (lambda _: member("config.json", tarfile.LNKTYPE, "/etc/passwd"), "is a hard link"),
    "device": (lambda _: member("config.json", tarfile.CHRTYPE), "is a device"),
    "block device": (lambda _: member("config.json", tarfile.BLKTYPE), "is a device"),
    "pipe": (lambda _: member("config.json", tarfile.FIFOTYPE), "is a pipe"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_and_leaves_nothing_outside(tmp_path: Path, attack: str) -> None:
    make, message = ATTACKS[attack]
    packed = pack(tmp_path / "model.tar.gz", member("good", size=3), make(tmp_path))
    with pytest.raises(InputError, match=f"model.tar.gz: .*{message}"):
        unpack(packed, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["good", "model", "model.tar.gz"]


def test_a_write_through_a_link_is_refused_at_the_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    attack = [member("a", tarfile.SYMTYPE, str(outside)), member("a/escaped", size=4)]
    with pytest.raises(InputError, match="'a' is a symbolic link"):
        unpack(pack(tmp_path / "model.tar.gz", *attack), tmp_path / "model")
    assert list(outside.iterdir()) == []


def test_more_than_the_disk_has_room_for_is_refused_unwritten(tmp_path: Path, monkeypatch) -> None:
    packed = pack(tmp_path / "model.tar.gz", *(member(f"f{n}", size=1000) for n in range(3)))
    usage = archive.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: usage._replace(free=2500))
    with pytest.raises(InputError, match="'f2' makes it 3000 bytes unpacked; 2500 are free"):
        unpack(packed, tmp_path / "model")
    assert not (tmp_path / "model" / "f2").exists()


def test_a_flood_of_members_is_refused(tmp_path: Path) -> None:
    packed = pack(tmp_path / "model.tar.gz", *(member(f"f{n}") for n in range(1001)))
    with pytest.raises(InputError, match="more than 1000 members"):
        unpack(packed, tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"no archive at all", os.urandom(2000)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.tar.gz").write_bytes(content)
    with pytest.raises(InputError, match="model.tar.gz: cannot be unpacked") as refused:
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")
    assert "\n" not in str(refused.value)


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    packed = pack(tmp_path / "model.tar.gz", member("a", size=100_000), member("b", size=100_000))
    packed.write_bytes(packed.read_bytes()[:-60])
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(packed, tmp_path / "model")


HEADERS_ALONE = {
    "extended": tarfile.XHDTYPE,
    "extended for all": tarfile.XGLTYPE,
    "long name": tarfile.GNUTYPE_LONGNAME,
    "long link": tarfile.GNUTYPE_LONGLINK,
}
HUGE = 256 << 20


@pytest.mark.parametrize("kind", HEADERS_ALONE)
@pytest.mark.parametrize("size", [HUGE, -512])
def test_a_header_is_not_held_in_memory_however_long_it_says_that_it_is(tmp_path: Path, kind: str, size: int) -> None:
    """A file of 256 kB, which unpacks to 256 MB; with a size below nothing, all that is left would be read."""
    header = member("x", HEADERS_ALONE[kind], size=size).tobuf(tarfile.GNU_FORMAT)
    with gzip.open(tmp_path / "model.tar.gz", "wb", compresslevel=1) as stream:
        stream.write(header)
        for _ in range(HUGE >> 20):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="cannot be unpacked"):
            unpack(tmp_path / "model.tar.gz", tmp_path / "model")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < HUGE / 8


def test_many_short_headers_are_bounded_together(tmp_path: Path) -> None:
    """Each belongs to the member after it, which never comes."""
    header = member("x", tarfile.XGLTYPE, size=1 << 20).tobuf(tarfile.GNU_FORMAT)
    with gzip.open(tmp_path / "model.tar.gz", "wb", compresslevel=1) as stream:
        for _ in range(64):
            stream.write(header + b"20 comment=aaaaaaaa\n" + bytes((1 << 20) - 20))
    with pytest.raises(InputError, match="headers have more than"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")


def test_the_most_members_with_the_longest_names_are_no_attack(tmp_path: Path) -> None:
    names = [f"{'/'.join('d' * 200 for _ in range(17))}/{number}" for number in range(1000)]
    packed = pack(tmp_path / "model.tar.gz", *(member(name, size=1) for name in names))
    unpack(packed, tmp_path / "model")
    assert sum(path.is_file() for path in (tmp_path / "model").rglob("*")) == 1000


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    """Its map may ask for more than the file is said to have."""
    info = member("weights", size=512)
    info.pax_headers = {"GNU.sparse.map": "0,1000000000", "GNU.sparse.size": "10"}
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(bytes(512)))
    with pytest.raises(InputError, match="'weights' is a sparse file; expected plain files"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")


def test_a_damaged_header_is_not_the_end_of_the_archive(tmp_path: Path) -> None:
    content = bytearray(VALID[0])
    content[content.index(b"second")] ^= 1
    (tmp_path / "model.tar").write_bytes(content)
    with pytest.raises(InputError, match="the header at byte 1024 is damaged"):
        unpack(tmp_path / "model.tar", tmp_path / "model")


def valid(kind: int) -> bytes:
    """An uncompressed archive with a folder and three files; the last one's name needs headers of its own."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        for info in (
            member("first", size=5),
            member("second", size=600),
            member("deep", tarfile.DIRTYPE),
            member("deep/" + "n" * (120 if kind != tarfile.USTAR_FORMAT else 90), size=3),
        ):
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return stream.getvalue().rstrip(b"\0") + bytes(1024)


VALID = [valid(kind) for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
FIELDS = {"name": 0, "mode": 100, "size": 124, "checksum": 148, "type": 156, "link": 157, "magic": 257, "prefix": 345}
changes = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.one_of(st.sampled_from(list(FIELDS.values())), st.integers(0, 511)),
        st.one_of(
            st.binary(min_size=1, max_size=12),
            st.sampled_from(
                [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"../../../x\0", b"/x\0", b"x", b"g", b"L", b"K", b"S"]
            ),
        ),
    ),
    max_size=4,
)


def changed(content: bytes, edits: list[tuple[int, int, bytes]], repair: bool) -> bytes:
    """With bytes of some blocks changed; checksums are made right, or else hardly any change would get past them."""
    blocks = [bytearray(content[start : start + 512]) for start in range(0, len(content), 512)]
    for block, offset, new in edits:
        target = blocks[block % len(blocks)]
        target[offset : offset + len(new)] = new[: 512 - offset]
        if repair:
            target[148:156] = b" " * 8
            target[148:156] = b"%06o\0 " % sum(target)
    return b"".join(blocks)


@settings(max_examples=200, deadline=None)
@given(base=st.sampled_from(VALID), edits=changes, repair=st.booleans(), packed=st.booleans(), cut=st.integers(0, 2000))
@example(base=VALID[2], edits=[(4, 0, b"x"), (5, 0, b"xx path=")], repair=True, packed=False, cut=0)
@example(base=VALID[0], edits=[(0, 124, b"\x80" + b"\xff" * 11)], repair=True, packed=True, cut=0)
@example(base=VALID[0], edits=[(0, 124, b"\xff" * 12)], repair=True, packed=True, cut=0)
@example(base=VALID[0], edits=[(0, 0, b"a\xff\xfe")], repair=True, packed=False, cut=0)
def test_a_changed_archive_is_unpacked_or_refused_and_nothing_comes_out_of_the_folder(
    base: bytes, edits: list[tuple[int, int, bytes]], repair: bool, packed: bool, cut: int
) -> None:
    content = changed(base, edits, repair)
    if cut < len(content) // 2:
        content = content[: len(content) - cut]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "a" / "b" / "c"  # room for what would climb
        root.mkdir(parents=True)
        path = root / "model.tar.gz"
        path.write_bytes(gzip.compress(content, 1) if packed else content)
        message = ""
        try:
            unpack(path, root / "model")
        except InputError as error:
            message = str(error)
        assert not message or (message.startswith(f"{path}: ") and "\n" not in message)
        found = [path for path in Path(name).rglob("*") if root / "model" not in path.parents]
        assert sorted(path.name for path in found) == ["a", "b", "c", "model", "model.tar.gz"]
        assert all(path.is_dir() or (path.is_file() and not path.is_symlink()) for path in root.rglob("*"))


@settings(max_examples=100, deadline=None)
@given(offset=st.integers(0, 400), bits=st.integers(1, 255))
def test_a_changed_byte_of_a_compressed_archive_is_found_or_changes_nothing(offset: int, bits: int) -> None:
    """gzip has a checksum of the content, so that only its own header may change: name, time, system."""
    content = bytearray(gzip.compress(VALID[1], mtime=0))
    content[offset % len(content)] ^= bits
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "model.tar.gz").write_bytes(content)
        with suppress(InputError):
            unpack(Path(name) / "model.tar.gz", Path(name) / "model")
            files = {path.name: path.read_bytes() for path in (Path(name) / "model").rglob("*") if path.is_file()}
            assert files == {"first": b"x" * 5, "second": b"x" * 600, "n" * 120: b"x" * 3}
