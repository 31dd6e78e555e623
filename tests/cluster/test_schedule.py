"""Recurring runs are made, listed, enabled, disabled and deleted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_kfp import ROLE, FakeKfp, serving

from components.cluster import schedule
from components.cluster.triggers import checked_cron
from ncf.durations import seconds
from ncf.errors import InputError

Run = Callable[..., tuple[int, str, str]]
NAME = "ncf ratings.csv history"


@pytest.mark.parametrize(
    ("flag", "trigger"),
    [
        ("--cron=0 0 3 * * *", {"cron_schedule": {"cron": "0 0 3 * * *"}}),
        ("--interval=6h", {"periodic_schedule": {"interval_second": 21600}}),
        ("--interval=90", {"periodic_schedule": {"interval_second": 90}}),
    ],
)
def test_a_recurring_run(run: Run, required: list[str], flag: str, trigger: dict[str, Any]) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        code, out, err = run("schedule", f"--host={host}", flag, "--service-account=robot", *required)
    assert (code, out) == (0, "recurring_run-1\n")
    assert err == f"recurring run '{NAME}': {host}/#/recurringruns\n"
    sent = kfp.body("POST /recurringruns")
    assert sent["trigger"] == trigger
    assert (sent["display_name"], sent["mode"], sent["service_account"]) == (NAME, "ENABLE", "robot")
    assert (sent["no_catchup"], sent["max_concurrency"]) == (True, 1)
    assert sent["runtime_config"]["pipeline_root"] == "s3://bucket/root"
    assert sent["runtime_config"]["parameters"]["train_role"] == ROLE
    assert sent["pipeline_spec"]["pipelineInfo"]["name"] == "ncf"


def test_an_uploaded_version(run: Run, required: list[str]) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        code, _, err = run("schedule", f"--host={host}", "--interval=6h", "--version-name=one", *required)
        assert code == 2
        assert "pipeline_name: there is no pipeline 'ncf'" in err
        run("upload", f"--host={host}", "--version-name=one")
        code, _, err = run("schedule", f"--host={host}", "--interval=6h", "--version-name=two", *required)
        assert code == 2
        assert "version_name: pipeline 'ncf' has no version 'two'" in err
        assert run("schedule", f"--host={host}", "--interval=6h", "--version-name=one", *required)[0] == 0
    sent = kfp.body("POST /recurringruns")
    assert sent["pipeline_version_reference"] == {"pipeline_id": "pipeline-1", "pipeline_version_id": "version-1"}
    assert "pipeline_spec" not in sent


def test_list_disable_enable_delete(run: Run, required: list[str]) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        assert run("schedule", f"--host={host}", "--list") == (0, "", "")
        run("schedule", f"--host={host}", "--interval=6h", *required)
        run("schedule", f"--host={host}", "--cron=0 0 3 * * *", "--name=nightly", *required)
        assert run("schedule", f"--host={host}", "--disable=nightly") == (0, "recurring_run-2\n", "")
        assert run("schedule", f"--host={host}", "--list")[1].splitlines() == [
            f"recurring_run-1\tENABLED\tevery 21600 s\t{NAME}",
            "recurring_run-2\tDISABLED\t0 0 3 * * *\tnightly",
        ]
        assert run("schedule", f"--host={host}", "--enable=recurring_run-2")[:2] == (0, "recurring_run-2\n")
        assert kfp.recurring["recurring_run-2"]["status"] == "ENABLED"
        assert run("schedule", f"--host={host}", "--delete", NAME)[:2] == (0, "recurring_run-1\n")
        code, out, err = run("schedule", f"--host={host}", "--delete", NAME)
    assert list(kfp.recurring) == ["recurring_run-2"]
    assert (code, out) == (2, "")
    assert f"there is no recurring run '{NAME}'; there are: 'nightly'" in err


def test_the_same_is_not_scheduled_twice(run: Run, required: list[str]) -> None:
    kfp = FakeKfp()
    with serving(kfp) as host:
        run("schedule", f"--host={host}", "--interval=6h", *required)
        code, out, err = run("schedule", f"--host={host}", "--interval=6h", *required)
    assert (code, out, len(kfp.recurring)) == (2, "", 1)
    assert f"name: a recurring run '{NAME}' exists already (recurring_run-1)" in err


def test_several_of_one_name_need_an_id(run: Run) -> None:
    kfp = FakeKfp()
    for number in (1, 2):
        kfp.recurring[f"r{number}"] = {"recurring_run_id": f"r{number}", "display_name": "twin", "status": "ENABLED"}
    with serving(kfp) as host:
        code, out, err = run("schedule", f"--host={host}", "--delete=twin")
        assert (code, out, len(kfp.recurring)) == (2, "", 2)
        assert "give an ID: r1, r2" in err
        assert run("schedule", f"--host={host}", "--delete=r1")[0] == 0
    assert list(kfp.recurring) == ["r2"]


@pytest.mark.parametrize(("flag", "route"), [("--disable=r1", ":disable"), ("--delete=r1", "recurringruns/r1")])
def test_what_the_api_says_it_did_and_did_not_is_exit_1(run: Run, flag: str, route: str) -> None:
    kfp = FakeKfp()
    kfp.recurring["r1"] = {"recurring_run_id": "r1", "display_name": "one", "status": "ENABLED"}
    with serving(kfp, lambda _, path: (200, {}, b"{}") if path.endswith(route) else None) as host:
        code, out, err = run("schedule", f"--host={host}", flag)
    assert (code, out) == (1, "")
    assert "recurring run r1 " in err


def test_pages_of_a_list_are_all_read(run: Run) -> None:
    pages = {
        "": '{"recurringRuns": [{"recurring_run_id": "a", "display_name": "x"}], "next_page_token": "2"}',
        "2": '{"recurringRuns": [{"recurring_run_id": "b", "display_name": "y"}]}',
    }

    def gate(_: object, path: str) -> tuple[int, dict[str, str], bytes] | None:
        if "recurringruns" not in path:
            return None
        return 200, {}, pages["2" if "page_token=2" in path else ""].encode()

    with serving(FakeKfp(), gate) as host:
        assert (
            run("schedule", f"--host={host}", "--list")[1] == "a\tunknown\tno trigger\tx\nb\tunknown\tno trigger\ty\n"
        )


@pytest.mark.parametrize("flags", [["--list"], ["--delete=x"], ["--enable=x"], ["--interval=6h"]])
@pytest.mark.parametrize("tokens", [itertools.repeat("again"), map(str, itertools.count())])
def test_a_list_without_an_end_ends(
    run: Run, required: list[str], flags: list[str], tokens: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "_MAX_PAGES", 5)
    asked = []

    def gate(_: object, path: str) -> tuple[int, dict[str, str], bytes] | None:
        if "recurringruns" not in path:
            return None
        asked.append(path)
        page = {"recurringRuns": [{"recurring_run_id": "a", "display_name": "y"}], "next_page_token": next(tokens)}
        return 200, {}, json.dumps(page).encode()

    with serving(FakeKfp(), gate) as host:
        code, out, err = run("schedule", f"--host={host}", *flags, *(required if "--interval=6h" in flags else []))
    assert (code, out) == (1, "")
    assert "answers with page after page of recurring runs, without an end" in err
    assert len(asked) <= 6


def test_nothing_is_scheduled_without_an_id(run: Run, required: list[str]) -> None:
    with serving(FakeKfp(), lambda _, path: (200, {}, b"{}") if "recurringruns" in path else None) as host:
        code, out, err = run("schedule", f"--host={host}", "--interval=6h", *required)
    assert (code, out) == (2, "")
    assert "returns no ID of the recurring run" in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "required"),
        (["--list", "--delete=x"], "not allowed with"),
        (["--cron=0 0 3 * * *", "--interval=6h"], "not allowed with"),
        (["--list", "--param=seed=1"], "param: expected with --cron or --interval only"),
        (["--delete=x", "--name=y"], "name: expected with --cron or --interval only"),
        (["--interval=30"], "interval: '30' is given; expected 60 seconds or more"),
        (["--cron=0 3 * * *"], "did you mean '0 0 3 * * *'?"),
    ],
)
def test_flags_that_do_not_fit(run: Run, flags: list[str], said: str) -> None:
    code, out, err = run("schedule", "--host=http://localhost:1", *flags)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    "text",
    [
        *("0 0 3 * * *", "0 0 9 ? * 2-6", "*/10 0,30 8-18/2 1 JAN-mar Mon,FRI", "  0 0 0 31 12 0 ", "5/15 * * * * *"),
        *("0 0 0 29 2 *", "0 0 0 31 2 1", "0 0 0 31 2,3 *", "0 0 0 31 */2 *", "0 0 0 1-31/2 feb ?", "0 0 0 30 4/3 *"),
    ],
)
def test_cron_that_kfp_takes(text: str) -> None:
    assert checked_cron(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has 0 fields; expected 6"),
        ("@daily", "has 1 fields"),
        ("0 3 * * *", "did you mean '0 0 3 \\* \\* \\*'"),
        ("60 0 3 * * *", "second is '60'.*numbers from 0 to 59"),
        ("0 0 24 * * *", "hour is '24'"),
        ("0 0 3 0 * *", "day of month is '0'"),
        ("0 0 3 * 13 *", "month is '13'.*names such as jan"),
        ("0 0 3 * * 7", "day of week is '7'.*numbers from 0 to 6"),
        ("0 0 5-3 * * *", "hour is '5-3'"),
        ("0 */0 3 * * *", "minute is '\\*/0'"),
        ("0 0 3,,4 * * *", "hour is '3,,4'"),
        ("0 0 x * * *", "hour is 'x'"),
        ("0 0 ² * * *", "hour is '²'"),
        ("0 0 -1 * * *", "hour is '-1'"),
        ("0 0 0 31 2 *", "never fires: day of month is '31', but month '2' has 29 days at most"),
        ("0 0 0 30-31 feb ?", "never fires"),
        ("0 0 0 31 4,6,SEP,nov *", "but month '4,6,SEP,nov' has 30 days at most"),
        ("0 0 0 31,30/2 2 *", "never fires"),
        ("0 0 0 31 4-6/2 *", "never fires"),
    ],
)
def test_cron_that_kfp_does_not_take_or_reads_otherwise(text: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^cron: .*{words}"):
        checked_cron(text)


@pytest.mark.parametrize(("text", "span"), [("60", 60), ("90s", 90), ("90m", 5400), ("6h", 21600), ("1d", 86400)])
def test_spans_of_time(text: str, span: int) -> None:
    assert seconds(text, "interval") == span


@pytest.mark.parametrize("text", ["", "h", "-1", "1w", "1.5h", "0", "٣"])
def test_no_spans_of_time(text: str) -> None:
    with pytest.raises(InputError, match=f"interval: '{text}' is given"):
        seconds(text, "interval")
