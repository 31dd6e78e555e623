"""Others' text on the console: nothing of it moves the cursor or begins a line, and any terminal can print it."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ncf.console_text import LogFormatter, visible, visible_error
from ncf.stage import command, exits


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\nb\rc\x0bd\x0ce\x85f\u2028g", r"a\nb\rc\x0bd\x0ce\x85f\u2028g"),
        ("\x9b31m\x7f\b\0", r"\x9b31m\x7f\x08\x00"),
        ("gpj.\u202eexe\u2066x\u200bz\ufeff", r"gpj.\u202eexe\u2066x\u200bz\ufeff"),
        ("\udcff", r"\udcff"),
        (
            "Amélie\t千と千尋\u3000の神隠し \u00a0👩\u200d👩\u200d👧 नमस्ते\u200d",
            "Amélie\t千と千尋\u3000の神隠し \u00a0👩\u200d👩\u200d👧 नमस्ते\u200d",
        ),
    ],
)
def test_what_could_change_the_terminal_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown, "what a pod has escaped stays as it is on the console of the run"


def test_an_error_keeps_only_the_lines_of_the_log_that_it_quotes() -> None:
    quoting = "the job's last log lines:\n  | one\x1b\n  | two\nno model"
    assert visible_error(quoting) == quoting.replace("\x1b", r"\x1b")
    forged = "data: 'a\n12:00:00 preprocess has written dataset\nb.csv' does not exist"
    assert visible_error(forged) == forged.replace("\n", r"\n")


def test_a_log_line_is_one_line_and_a_traceback_follows_it() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("reading %s", "a\n12:00:00 all is well\x1b[A.csv")
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("it failed")
    first, second, *rest = stream.getvalue().splitlines()
    assert first.endswith(r"reading a\n12:00:00 all is well\x1b[A.csv")
    assert second.endswith("it failed")
    assert rest[0].startswith("Traceback")


@pytest.mark.parametrize("name", ["x\n12:00:00 preprocess has written dataset.csv", "\x1b[2J.csv", "\x9b2J.csv"])
def test_a_file_s_name_forges_no_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("user,item\n1,2\n")
    for given in (tmp_path / name, tmp_path / f"none {name}"):
        with pytest.raises(SystemExit, match="2"):
            command.main(["preprocess", "--interactions", str(given)])
    err = capfd.readouterr().err
    assert all(line.startswith("ncf: error: ") or line[2:3] == ":" for line in err.splitlines())
    assert not [line for line in err.splitlines() if line.endswith("has written dataset.csv")]
    assert "\x1b" not in err
    assert "\x9b" not in err


def test_an_error_with_a_lone_surrogate_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exits.fail("data: 'caf\udce9.csv' does not exist")
    assert capsys.readouterr().err == "ncf: error: data: 'caf\\udce9.csv' does not exist\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_suffices(encoding: str) -> None:
    program = (
        "from ncf.stage import command\nfrom ncf.console_text import accept_any_text\naccept_any_text()\n"
        "print('\\u25b6 千と Amélie')\ncommand.main(['千'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert ran.returncode == 2, ran.stderr
    assert ran.stdout.rstrip() == "▶ 千と Amélie".encode(encoding, "backslashreplace")
    assert ran.stderr.startswith("ncf: error: '千'".encode(encoding, "backslashreplace"))


def test_a_long_message_shows_its_start_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exits.fail(f"data.csv: has the columns {'x' * 10_000_000}; name one with user_column")
    line = capsys.readouterr().err
    assert line.startswith("ncf: error: data.csv: has the columns xxx")
    assert line.endswith("x; name one with user_column\n")
    assert len(line) < 9000


def test_a_traceback_of_others_text_keeps_its_own_lines_alone() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter("%(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        raise ValueError("\x1b[2J\x9b0m" + "x" * 1_000_000)
    except ValueError:
        log.exception("Exception in ASGI application\n")
    first, second, *rest = stream.getvalue().split("\n")
    assert (first, second) == ("Exception in ASGI application", "Traceback (most recent call last):")
    assert r"ValueError: \x1b[2J\x9b0mxxx" in "\n".join(rest)
    assert len(stream.getvalue()) < 9000


def test_a_block_of_code_in_a_report_has_no_escapes() -> None:
    from ncf.reports.markdown import code_block

    assert code_block("one\x1b[2J\u202e\ntwo") == "```\none\\x1b[2J\\u202e\ntwo\n```"
