"""``ncf show``, and ``ncf recommend --user``: a table for a person, which writes nothing."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from random_model import random_model

from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.strings import Strings
from ncf.errors import InputError
from ncf.serving import show
from ncf.serving.recommender import Recommender
from ncf.serving.show import _cut
from ncf.stage import command, execution, parsing
from ncf.stage.declaration import Stage


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    random_model(positives=12).save(folder, {}, {})
    return folder


Shown = Callable[..., list[str]]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Runs a command: the lines that it prints."""

    def run(name: str, *arguments: str, columns: int = 100) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        execution.run(*run_of(name, arguments))
        out, err = capsys.readouterr()
        assert err == ""
        return out.splitlines()

    return run


def run_of(name: str, arguments: Sequence[str]) -> tuple[type[Stage], Sequence[str], str]:
    """What the command line runs."""
    stage, called = command.chosen(name, arguments)
    return stage, arguments, called


def test_the_program_prints_it_and_nothing_else(model: Path, shown: Shown) -> None:
    arguments = ("recommend", f"--model={model}", "--user=u3")
    ran = subprocess.run(
        [sys.executable, "-m", "ncf", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert (ran.stdout.splitlines(), ran.stderr) == (shown(*arguments), "")


@pytest.mark.parametrize("name", ["recommend", "show"])
@pytest.mark.parametrize("user", [["--user", "u3"], ["--user=u3"]])
def test_the_items_are_the_endpoint_s_beside_the_history(
    name: str, user: list[str], model: Path, tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = shown(name, "--model", str(model), *user)
    loaded = ModelFolder.load(model)
    (answer,) = Recommender(loaded).recommend(["u3"], 10)
    assert lines[0] == f"model {loaded.version}, user u3; 12 items in the history, 10 shown"
    assert lines[2].split() == ["recommended", "history"]
    assert len(lines) == 3 + 10
    history = set()
    for rank, (line, item) in enumerate(zip(lines[3:], answer["items"], strict=True), 1):
        left, _, right = line.partition("]") if "title" in item else line.partition(item["item"])
        assert left.split()[:2] == [str(rank), f"{item['score']:.3f}"]
        assert item.get("title", item["item"]) in line
        history.add(right.split("[")[-1].strip(" ]"))
    assert history < {f"i{item}" for item in loaded.seen.of_user(3)}
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_the_history_begins_with_what_the_model_likes_best(model: Path) -> None:
    loaded = ModelFolder.load(model)
    everything = Recommender(loaded).recommend(["u3"], 40, exclude_seen=False)[0]["items"]
    seen = {f"i{item}" for item in loaded.seen.of_user(3)}
    expected = [item["item"] for item in everything if item["item"] in seen]
    assert [item["item"] for item in Recommender(loaded).history("u3")] == expected


def test_an_unknown_user_gets_popular_items_and_no_history(model: Path, shown: Shown) -> None:
    lines = shown("recommend", f"--model={model}", "--user=nobody", "--top-k=3")
    assert lines[0].endswith("user nobody: not in the model; popular items, by number of interactions")
    assert lines[2] == "recommended"
    assert len(lines) == 6
    assert all(line.split()[1].isdigit() for line in lines[3:])


@pytest.mark.parametrize("columns", [30, 60, 80, 200])
def test_lines_fit_the_terminal(columns: int, tmp_path: Path, shown: Shown) -> None:
    model = random_model(positives=12)
    titles = ["\u4f60\u597d" * (item % 9) + " e\u0301 " + "long " * item for item in range(40)]
    dataclasses.replace(model, item_titles=Strings.of(titles)).save(tmp_path / "model", {}, {})
    lines = shown("show", f"--model={tmp_path}/model", "--user=u0", columns=columns)
    assert max(map(show._width, lines[2:])) <= columns
    assert ("history" in lines[2]) == (columns >= 80), "below each other where there is no room"


def test_a_long_title_is_cut_at_once() -> None:
    start = time.process_time()
    assert _cut("\u65e5" * 500_000, 10) == "\u65e5" * 4 + "\u2026"
    assert _cut("e\u0301" * 500_000, 10) == "e\u0301" * 9 + "\u2026"
    assert _cut("exactly", 7) == "exactly"
    assert _cut("", 0) == ""
    assert time.process_time() - start < 10, "quadratic work would take hours"


def test_titles_cannot_drive_the_terminal(tmp_path: Path, shown: Shown) -> None:
    model = random_model()
    evil = "\x1b[2J\x1b[31mred\r\n\x07"
    dataclasses.replace(model, item_titles=Strings.of([evil] * 40)).save(tmp_path / "model", {}, {})
    text = "\n".join(shown("show", f"--model={tmp_path}/model", "--user=u0\x1b[0m"))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "red" in text


def test_a_user_who_has_seen_all(tmp_path: Path, shown: Shown) -> None:
    random_model(n_items=6, positives=6).save(tmp_path / "model", {}, {})
    lines = shown("show", f"--model={tmp_path}/model", "--user=u0")
    assert lines[3].startswith("nothing is left to recommend")
    assert len(lines) == 3 + 6, "the whole history"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model=x"], "--user is required"),
        (["--user=u0"], "--model is required"),
        (["--model=x", "--user="], "'user' is ''"),
        (["--model=x", "--user=u0", "--top-k=0"], "'top_k' is 0"),
        (["--model=x", "--user=u0", "--recommendations=out"], "unrecognized arguments: --recommendations"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parsing.parse(show.Show, arguments)


def test_which_command_it_is() -> None:
    assert command.chosen("recommend", ["--model", "x", "--user=42"]) == (show.Show, "recommend --user ID")
    assert command.chosen("recommend", ["--model", "x", "--user", "42"])[0] is show.Show
    assert command.chosen("recommend", ["--model", "x", "--users", "file"]) == (command.load("recommend"), "")
    assert command.chosen("serve", ["--user", "42"]) == (command.load("serve"), "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user=u0"], "recommend --user ID: --model is required"),
        (["--user=u0", "--model=x", "--top-k=0"], "recommend --user ID: parameter 'top_k' is 0"),
        (
            ["--user=u0", "--model=x", "--recommendations=out"],
            "recommend --user ID: unrecognized arguments: --recommendations=out; "
            "'ncf recommend --user ID --help' lists the parameters",
        ),
        (["--model=x", "--usr=u0"], "recommend: unrecognized arguments: --usr=u0; did you mean --user?; "),
    ],
)
def test_errors_name_the_command_that_was_typed(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        execution.run(*run_of("recommend", arguments))
    assert str(error.value).startswith(said)


def test_help_of_both_forms(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    printed = []
    for arguments in (["--help"], ["--user", "u0", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            execution.run(*run_of("recommend", arguments))
        printed.append(capsys.readouterr().out)
    batch, single = printed
    assert "--user ID" in batch
    assert "print the items of one user" in batch
    assert "--checkpoints" in batch
    assert single.startswith("usage: ncf recommend --user ID ")
    assert "--exclude-seen" in single
    assert "--checkpoints" not in single


def test_a_model_may_be_an_archive(model: Path, tmp_path: Path, shown: Shown) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(model, ".")
    for name in ("show", "recommend"):
        packed = shown(name, f"--model={tmp_path}/model.tar.gz", "--user=u3")
        assert packed == shown(name, f"--model={model}", "--user=u3")
