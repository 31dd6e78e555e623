"""Archives that were made to do harm, and one that was not."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from random_model import random_model

from ncf.errors import InputError
from ncf.models import archive
from ncf.models.archive import unpack, unpacked
from ncf.models.model_folder import ModelFolder


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def pack(place: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(place, "w:gz") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return place


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz"])
def test_a_model_comes_out_of_its_archive(tmp_path: Path, suffix: str) -> None:
    random_model().save(tmp_path / "model", {}, {})
    with tarfile.open(tmp_path / f"packed{suffix}", "w:gz") as tar:
        tar.add(tmp_path / "model", ".")
    with unpacked(tmp_path / f"packed{suffix}") as folder:
        model = ModelFolder.load(folder)
    assert not folder.exists()
    assert model.version == ModelFolder.load(tmp_path / "model").version
    assert model.item_ids[39] == "i39", "mapped files outlive the folder"


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
    with pytest.raises(InputError, match="model.tar.gz: cannot be unpacked"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    packed = pack(tmp_path / "model.tar.gz", member("a", size=100_000), member("b", size=100_000))
    packed.write_bytes(packed.read_bytes()[:-60])
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(packed, tmp_path / "model")
