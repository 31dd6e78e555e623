"""`python pipeline.py watch`: faults of the user, and runs that fail."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import pipeline
from components.cluster.trigger_commands import check
from components.local import watch
from components.local.aws import RemoteAws
from components.local.kfp.api import Accepted, KfpApi
from ncf.errors import InputError
from ncf.watching.rules import load


def test_the_default_rules_are_valid() -> None:
    check(load(watch.RULES), [composed for composed, _ in pipeline.PIPELINES.values()])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "so there are no events; 'make aws' in another terminal is one"),
        (["--rules=none.yaml"], "rules: 'none.yaml' cannot be read as YAML"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["watch", f"--account={tmp_path}/aws", f"--output={tmp_path}/out", *flags])
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


class Process:
    """A watcher that ends when nothing is left to execute."""

    returncode = 1

    def __init__(self, api: KfpApi) -> None:
        self._api = api

    def poll(self) -> int | None:
        return 1 if self._api.accepted.empty() else None


def test_a_failed_run_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api, executed = KfpApi({"ncf": {}}), []
    reference = {"pipeline_id": "ncf", "pipeline_version_id": "local"}
    for name in ("bad", "good"):
        api.answer("POST", "/runs", {}, {"display_name": name, "pipeline_version_reference": reference})

    def execute(_: Any, accepted: Accepted, *__: object) -> None:
        executed.append(accepted.name)
        if accepted.name == "bad":
            raise InputError("stage 'preprocess' failed: [half] a file")

    monkeypatch.setattr(watch, "_execute", execute)
    text = io.StringIO()
    request = watch.WatchRequest(tmp_path, tmp_path)
    aws: RemoteAws = object()  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="the watcher has ended with exit status 1"):
        watch._execute_all(api, {"ncf": None}, request, aws, Process(api), Console(file=text))  # type: ignore[arg-type]
    assert executed == ["bad", "good"]
    _, answer = api.answer("GET", "/runs", {}, {})
    assert [run["state"] for run in answer["runs"]] == ["FAILED", "SUCCEEDED"]
    assert "Run 'bad' failed: stage 'preprocess' failed: [half] a file" in text.getvalue()
