"""Progress of a run on the console."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.local import console, process_runner, summary
from components.local.console import Recorder
from components.local.process_runner import TaskRun
from components.local.run_folder import RunFolder
from ncf.stage.executor_input import EXECUTOR_INPUT

FOLDER = Path("/project/output/run-2026-11-28T17-04-09-0a1b2c3d")
ARTIFACTS = FOLDER / "artifacts" / "ncf-2026-11-28-17-12-39-072199"


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def recorder(printed: io.StringIO) -> Recorder:
    return Recorder(Console(file=printed, width=200, emoji=False), FOLDER)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"preprocess has written dataset {ARTIFACTS}/preprocess/dataset, metrics {ARTIFACTS}/x", "dataset, metrics"),
        (f"{ARTIFACTS}/preprocess/dataset: 3 users", "  preprocess/dataset: 3 users"),
        (f"reading {FOLDER}/data/x.csv", "reading data/x.csv"),
        ("reading /other/data/x.csv", "reading /other/data/x.csv"),
    ],
)
def test_lines_have_names_in_place_of_the_run_s_paths(
    recorder: Recorder, printed: io.StringIO, line: str, expected: str
) -> None:
    recorder.line(TaskRun("preprocess"), line)
    assert printed.getvalue().endswith(f"{expected}\n")


def test_the_reason_of_a_failure_is_left_to_the_end_of_the_run(recorder: Recorder, printed: io.StringIO) -> None:
    task, last = TaskRun("train"), TaskRun("finish")
    recorder.started(task)
    task.printed("ncf: error: no job", recorder)
    task.ended(1)
    recorder.finished(task)
    recorder.started(last)
    last.printed("NCF run: failed in train: no job", recorder)
    last.ended(0)
    recorder.finished(last)
    assert "no job" not in printed.getvalue()
    assert recorder.failed is task


def test_log_lines_in_an_error_are_shown_where_they_are_new(recorder: Recorder, printed: io.StringIO) -> None:
    task = TaskRun("deploy")
    recorder.started(task)
    for line in ("loading", "ncf: error: the last log lines:", "  | loading", "  | out of memory", "no endpoint"):
        task.printed(line, recorder)
    task.ended(1)
    recorder.finished(task)
    shown = [line.strip() for line in printed.getvalue().splitlines()]
    assert shown == ["▶ deploy", "loading", "the last log lines:", "| out of memory", "✗ deploy 0.0 s"]
    assert console.reason(task) == "no endpoint"


def test_an_error_in_the_log_of_a_job_hides_nothing_that_follows(recorder: Recorder, printed: io.StringIO) -> None:
    task = TaskRun("train")
    recorder.started(task)
    job = ["ncf: error: no memory", "17:50:21 training job a failed: no memory; attempt 2 of 2 follows", "epoch=1"]
    for line in (*job, "ncf: error: the last log lines:", "  | ncf: error: no memory", "training job b failed"):
        task.printed(line, recorder)
    task.ended(1)
    recorder.finished(task)
    assert [line.strip() for line in printed.getvalue().splitlines()] == ["▶ train", *job, "✗ train 0.0 s"]


def test_a_failed_run_says_where_its_files_are(printed: io.StringIO) -> None:
    with Recorder(Console(file=printed, width=200), FOLDER) as recorder:
        task = TaskRun("train", exit_code=1)
        recorder.finished(task)
    assert printed.getvalue().endswith(f"The files of the failed run are in {FOLDER}\n")


def test_a_task_that_is_tried_again_says_why(recorder: Recorder, printed: io.StringIO) -> None:
    for code in (1, 0):
        task = TaskRun("train")
        recorder.started(task)
        task.printed("ncf: error: no job", recorder)
        task.ended(code)
        recorder.finished(task)
    assert printed.getvalue().count("train is tried again: no job") == 1
    assert recorder.failed is None


def test_a_task_that_prints_nothing_shows_its_time(
    recorder: Recorder, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_SILENT_SECONDS", 0.02)
    with recorder:
        recorder.started(TaskRun("evaluate"))
        deadline = time.monotonic() + 10
        while "evaluate: running for 0 s" not in printed.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "evaluate: running for 0 s" in printed.getvalue()
    time.sleep(0.05)
    before = printed.getvalue()
    time.sleep(0.1)
    assert printed.getvalue() == before, "nothing more once the run has ended"


def test_a_terminal_is_left_as_it_was(printed: io.StringIO) -> None:
    with Recorder(Console(file=printed, force_terminal=True, width=80), FOLDER) as recorder:
        recorder.started(TaskRun("evaluate"))
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert printed.getvalue().count(hide) == printed.getvalue().count(show) == 1


HOSTILE = "\x1b[2J[red]:bomb:\r\n17:00:00 done\x9b"
ESCAPED = r"\x1b[2J[red]:bomb:\r\n17:00:00 done\x9b"


def test_a_line_of_a_pod_changes_neither_terminal_nor_lines(recorder: Recorder, printed: io.StringIO) -> None:
    task = TaskRun("train")
    task.printed(f"reading {HOSTILE}\n", recorder)
    assert printed.getvalue() == f"  reading {ESCAPED}\n"
    assert task.last_line == f"reading {ESCAPED}"


def test_a_pod_s_carriage_return_begins_no_line(recorder: Recorder, printed: io.StringIO, tmp_path: Path) -> None:
    program = "print('a\\r17:00:00 forged\\n', end='')"
    command = ["python", "-c", program, "ncf", "train", EXECUTOR_INPUT, json.dumps({"outputs": {}})]
    task = process_runner._run(command, {}, recorder)
    assert task.last_line.startswith("it ended with status 0")
    assert r"a\r17:00:00 forged" in printed.getvalue()


def test_a_pod_has_no_access_to_kfp(recorder: Recorder, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NCF_KFP_TOKEN", "NCF_KFP_COOKIE", "KF_PIPELINES_SA_TOKEN_PATH", "NCF_OTHER"):
        monkeypatch.setenv(name, f"secret-{name}")
    program = "import os; print(*(value for value in os.environ.values() if value.startswith('secret')))"
    process_runner._run(["python", "-c", program, "ncf", "train", EXECUTOR_INPUT, '{"outputs": {}}'], {}, recorder)
    assert re.findall(r"secret-\w+", printed.getvalue()) == ["secret-NCF_OTHER"]


def test_titles_users_and_paths_are_printed_as_they_are_read(recorder: Recorder, printed: io.StringIO) -> None:
    folder = RunFolder(Path(f"/project/{HOSTILE}"), Path("/project/run"), "id")
    entry = {"user": HOSTILE, "items": [{"item": "1", "title": HOSTILE}, {"item": HOSTILE}]}
    result = {
        "stages": [],
        "metrics": {"candidates": 99.0},
        "gate_passed": True,
        "endpoint": {"name": HOSTILE},
        "package": "",
        "account": "",
        "gate_checks": [HOSTILE],
        "recommendations": [entry],
        **dict.fromkeys(("model", "report", "diff", "data_report", "summary"), HOSTILE),
        "next": [f"show {HOSTILE}"],
    }
    summary.show(recorder.console, result, {}, folder)
    text = printed.getvalue()
    assert not {"\x1b", "\x9b", "\r"} & set(text)
    assert text.count(ESCAPED) == 3 + 1 + 6 + 1


def test_a_terminal_without_unicode_gets_other_marks() -> None:
    stream = io.BytesIO()
    with Recorder(Console(file=io.TextIOWrapper(stream, "ascii"), force_terminal=True, width=80)) as recorder:
        for code in (0, 1):
            recorder.started(TaskRun("evaluate"))
            recorder.finished(TaskRun("evaluate", exit_code=code))
    recorder.console.file.flush()
    text = stream.getvalue().decode()
    assert all(mark in text for mark in ("> evaluate", "+ evaluate", "x evaluate"))


def test_a_model_that_waits_ends_with_the_account_of_its_run(recorder: Recorder, printed: io.StringIO) -> None:
    folder = RunFolder(Path("/project/run-1"), Path("/project/run"), "id")
    result: dict[str, Any] = {
        "stages": [],
        "metrics": {"candidates": 99.0},
        "gate_passed": True,
        "endpoint": None,
        "package": "arn:aws:sagemaker:us-east-1:123456789012:model-package/shop/3",
        "gate_checks": [],
        "recommendations": [],
        **dict.fromkeys(("model", "report", "diff", "data_report", "summary"), "x"),
        "next": [],
    }
    notice = "Package shop/3 ends with the account of this run"
    for account, is_said in (("", True), ("output/aws/environment", False)):
        summary.show(recorder.console, {**result, "account": account}, {}, folder)
        assert (notice in printed.getvalue()) is is_said
        printed.truncate(0)


def test_the_next_commands_for_a_model_that_waits_are_those_of_its_approval() -> None:
    lines = summary._approval("output/aws/environment", "shop/3")
    assert lines[0] == ". output/aws/environment"
    assert [line.partition("bin/")[2] for line in lines[1:]] == [
        "ncf models shop",
        "ncf approve shop/3 --note 'REASON'",
    ]
