"""Folders of runs, and the link to the latest run that succeeded."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.local.run_folder import RunFolder, shown
from ncf.errors import InputError


def test_two_runs_at_once_have_folders_of_their_own_and_the_last_to_end_has_the_link(tmp_path: Path) -> None:
    first, second = (RunFolder.create(tmp_path / "run", {}) for _ in range(2))
    assert first.path != second.path
    assert not (tmp_path / "run").exists(), "no run has succeeded yet"
    for folder in (second, first):
        (folder.path / "summary.json").write_text(folder.run_id)
        folder.publish()
        assert (tmp_path / "run" / "summary.json").read_text() == folder.run_id
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["run", first.path.name, second.path.name])


def test_a_run_that_ends_before_its_end_leaves_the_link(tmp_path: Path) -> None:
    good = RunFolder.create(tmp_path / "run", {})
    good.publish()
    failed = RunFolder.create(tmp_path / "run", {})
    assert failed.path.is_dir()
    assert (tmp_path / "run").resolve() == good.path


def test_a_link_that_cannot_be_replaced_leaves_nothing_of_the_new_one(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    with pytest.raises(OSError, match="not empty"):
        folder.publish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", folder.path.name]


def test_an_empty_folder_becomes_the_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    folder = RunFolder.create(tmp_path / "mine", {})
    folder.publish()
    assert (tmp_path / "mine").resolve() == folder.path


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("folder", "is a folder with files, such as an earlier version's run; move it"),
        ("file", "is a file; expected a new name"),
        ("link", "is a link to 'elsewhere', which is not the folder of a run"),
    ],
)
def test_what_no_run_has_made_is_not_replaced(taken: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".ncf-run").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("elsewhere")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=said):
        RunFolder.create(tmp_path / taken, {})
    assert sorted(tmp_path.iterdir()) == before


def test_paths_are_shown_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert shown(tmp_path / "here" / "run") == "run"
    assert shown(tmp_path / "run") == str(tmp_path / "run")
