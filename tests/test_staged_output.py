"""Outputs on this machine: they are whole or absent, and no process destroys another one's."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ncf.staged_output import staged


def test_staged_output_replaces_the_old_one_only_when_done(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(RuntimeError), staged(folder) as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["old"]
    with staged(folder) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


STAGE = """
import os, signal, sys
from pathlib import Path
from ncf import staged_output
folder, when = Path(sys.argv[1]), sys.argv[2]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
original, moves = Path.replace, []
def replace(self, target):
    moves.append(target)
    if when == f"before move {len(moves)}":
        die()
    return original(self, target)
Path.replace = replace
if when == "while the old one goes":
    staged_output.shutil.rmtree = die
with staged_output.staged(folder) as temporary:
    temporary.mkdir()
    (temporary / "new").touch()
    if when == "while writing":
        die()
"""


@pytest.mark.parametrize(
    ("when", "between", "after"),
    [
        ("while writing", ["old"], ["old"]),
        ("before move 1", ["old"], ["old"]),
        ("before move 2", None, ["new"]),
        ("while the old one goes", ["new"], ["new"]),
    ],
)
def test_what_a_killed_process_has_left_is_settled_by_the_next_one(
    when: str, between: list[str] | None, after: list[str], tmp_path: Path
) -> None:
    """Neither the old folder nor the new one is lost, whenever the process dies, and no temporary one stays."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    (tmp_path / ".folder-of-somebody-else").mkdir()
    ran = subprocess.run([sys.executable, "-c", STAGE, str(folder), when], check=False)
    assert ran.returncode == -signal.SIGKILL
    assert (sorted(path.name for path in folder.iterdir()) if folder.exists() else None) == between
    assert len(list(tmp_path.glob(".folder.ncf-*"))) == 1
    with staged(folder, optional=True):
        assert sorted(path.name for path in folder.iterdir()) == after
    assert sorted(path.name for path in tmp_path.iterdir()) == [".folder-of-somebody-else", "folder"]


def test_who_is_at_work_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with staged(folder) as first:
        first.write_text("first")
        with staged(folder) as second:
            assert first.exists()
            second.write_text("second")
        assert folder.read_text() == "second"
    assert folder.read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal may come between the two moves."""
    folder, original = tmp_path / "folder", Path.replace
    folder.mkdir()
    (folder / "old").touch()

    def replace(self: Path, target: Path) -> Path:
        if Path(target) == folder and self.name == folder.name:
            raise SystemExit(143)
        return original(self, target)

    with pytest.raises(SystemExit), monkeypatch.context() as patched, staged(folder) as temporary:
        temporary.mkdir()
        patched.setattr(Path, "replace", replace)
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


def test_an_array_that_a_full_disk_cuts_short_is_an_error_of_the_disk(tmp_path: Path) -> None:
    """As numpy.ndarray.tofile has it, without a number and a reason."""
    with pytest.raises(OSError, match="No space left on device") as raised, staged(tmp_path / "array.npy"):
        raise OSError("11260 requested and 7136 written")
    assert raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())
