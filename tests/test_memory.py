"""The memory that a process may use and uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ncf import cgroups
from ncf.memory import memory_limit, resident_memory, return_freed_memory

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(cgroups, "_CGROUPS", tmp_path / "cgroup")
    (tmp_path / "cgroup" / "pod").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(("text", "expected"), [("max\n", MACHINE), ("1048576\n", 1 << 20), ("9" * 20, MACHINE)])
def test_limit_of_version_2(root: Path, text: str, expected: int) -> None:
    (root / "proc").write_text("0::/pod\n")
    (root / "cgroup" / "pod" / "memory.max").write_text(text)
    assert memory_limit() == expected


def test_the_least_limit_of_version_1(root: Path) -> None:
    (root / "proc").write_text("7:memory:/pod\n4:cpu:/other\n")
    folder = root / "cgroup" / "memory"
    (folder / "pod").mkdir(parents=True)
    (folder / "pod" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (folder / "memory.limit_in_bytes").write_text("2097152\n")
    assert memory_limit() == 2 << 20


def test_freed_memory_is_returned() -> None:
    return_freed_memory()  # that of other tests, which the blocks would be put into
    before = resident_memory()
    blocks = [bytes(range(256)) * 64 for _ in range(4000)]  # below the size that is mapped on its own
    grown = resident_memory()
    assert grown - before > 48 << 20
    del blocks
    return_freed_memory()
    assert resident_memory() - before < 16 << 20
