"""Outputs destroy nothing: what a stage reads, or what no stage has written, stays as it is."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from evaluate_stage import undrawn

from ncf.data import synthetic
from ncf.errors import InputError
from ncf.stage import execution
from ncf.stage.declaration import Stage
from ncf.staged_output import staged
from ncf.stages.negative_sampling import NegativeSampling
from ncf.stages.preprocess import Preprocess
from ncf.stages.recommend import Recommend
from ncf.training.fit import Fit


@pytest.fixture
def interactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    synthetic.write(tmp_path / "raw", users=40, items=150, interactions=600, seed=3)
    with undrawn():
        yield tmp_path / "raw" / "interactions.csv"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(stage: type[Stage], *arguments: str, match: str) -> None:
    """The stage is refused before it has run, and nothing on the disk has changed."""
    before = content(Path.cwd())
    with pytest.raises(InputError, match=match) as error:
        execution.run(stage, arguments)
    assert "\n" not in str(error.value)
    assert content(Path.cwd()) == before


def test_a_folder_that_another_process_is_writing_is_refused_by_name(interactions: Path) -> None:
    arguments = ["--interactions", str(interactions), "--dataset", "mine/dataset"]
    with staged(Path("mine/dataset")) as first:
        first.mkdir()
        (first / "of the first").touch()
        refused(Preprocess, *arguments, match="'dataset' is 'mine/dataset', which another process is writing; wait")
    assert sorted(path.name for path in Path("mine").rglob("*")) == ["dataset", "of the first"]


def test_what_a_killed_process_was_writing_is_not_in_the_way(interactions: Path) -> None:
    program = (
        "import os, signal\nfrom pathlib import Path\nfrom ncf.staged_output import staged\n"
        "with staged(Path('mine/dataset')) as path:\n    path.mkdir(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert list(Path("mine").iterdir())
    execution.run(Preprocess, ["--interactions", str(interactions), "--dataset", "mine/dataset"])
    assert [path.name for path in Path("mine").iterdir()] == ["dataset"]


def test_a_folder_that_no_stage_has_written_is_not_replaced(interactions: Path) -> None:
    Path("precious").mkdir()
    Path("precious/diary.txt").write_text("dear diary")
    given = ("--interactions", str(interactions), "--dataset", "precious")
    refused(Preprocess, *given, match=r"parameter 'dataset' is 'precious'.*'diary\.txt'")
    # refused before the model is looked for
    refused(Recommend, "--model", "none", "--recommendations", "precious", match="parameter 'recommendations'")
    Path("precious/manifest.json").write_text('{"name": "an app"}')
    refused(Preprocess, *given, match="parameter 'dataset' is 'precious'")


def test_empty_folders_and_those_of_a_stage_are_replaced(interactions: Path) -> None:
    Path("dataset").mkdir()
    given = ["--interactions", str(interactions), "--dataset", "dataset"]
    execution.run(Preprocess, given)
    execution.run(Preprocess, [*given, "--min-user-interactions", "2"])
    assert '"min_user_interactions": 2' in Path("dataset/manifest.json").read_text()
    Path("dataset/notes").mkdir()
    Path("dataset/notes/mine.txt").touch()
    refused(Preprocess, *given, match=r"holds 'notes/mine\.txt'")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--interactions", "raw", "--dataset", "raw"], "'dataset' is 'raw', which is 'interactions' too"),
        (["--interactions", "raw/interactions.csv", "--dataset", "raw"], "contains 'interactions'"),
        (["--interactions", "raw", "--dataset", "raw/new"], "lies inside 'interactions'"),
        (["--interactions", "raw/interactions.csv", "--report", "raw/../raw/interactions.csv"], "'report'"),
        (["--interactions", "raw/interactions.csv", "--items", "raw/items.csv", "--metrics", "raw/items.csv"], "items"),
        (["--interactions", "raw", "--dataset", "out", "--report", "out/report.html"], "contains 'report'"),
        (["--interactions", "raw", "--report", "out", "--metrics", "out"], "is 'metrics' too"),
        (["--interactions", "raw/interactions.csv", "--report", "raw"], "which is a folder|contains"),
        (["--interactions", "raw/interactions.csv", "--dataset", "raw/items.csv"], "'raw/items.csv', which is a file"),
        (["--interactions", "raw/interactions.csv", "--dataset", "/proc/x/y"], "'/proc/x/y', where nothing can be"),
        (["--interactions", "raw/interactions.csv", "--dataset", "raw/items.csv/x"], "where nothing can be written"),
    ],
)
def test_outputs_keep_clear_of_inputs_of_files_and_of_each_other(
    interactions: Path, arguments: list[str], match: str
) -> None:
    assert interactions.is_file()
    refused(Preprocess, *arguments, match=match)


def test_a_link_to_an_input_is_that_input(interactions: Path) -> None:
    Path("link").symlink_to(interactions.parent)
    refused(Preprocess, "--interactions", "raw/interactions.csv", "--dataset", "link", match="contains 'interactions'")


@pytest.mark.parametrize(
    ("stage", "parameter", "others"),
    [
        (NegativeSampling, "dataset", []),
        (Preprocess, "dataset", ["--interactions", "raw"]),
        (Fit, "samples", ["--dataset", "raw"]),
    ],
)
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_place_is_not_the_working_directory(
    interactions: Path, stage: type[Stage], parameter: str, others: list[str], empty: str
) -> None:
    assert interactions.is_file()
    refused(stage, *others, f"--{parameter}", empty, match=f"parameter '{parameter}' is empty")


def test_outputs_are_not_written_to_a_folder_called_s3(interactions: Path) -> None:
    given = ("--interactions", str(interactions), "--dataset", "s3://bucket/dataset")
    refused(Preprocess, *given, match="parameter 'dataset' is 's3://bucket/dataset'")


def test_what_the_system_says_of_a_file_is_one_line(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom ncf.stage import command\n"
        "def run(*_):\n    open('gone/file')\n"
        "command.run = run\ncommand.main(['finish'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (
        2,
        "ncf: error: gone/file: No such file or directory; nothing was written\n",
    )
