"""Metrics of a run as Markdown: of a run on this machine, and of the outputs of a run in S3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from local_jobs import client

from components.local.aws import LocalAws, Processes

Run = Callable[..., tuple[int, str, str]]
METRICS: dict[str, Any] = {
    "gate_passed": 1.0,
    "candidates": 99.0,
    "full_ndcg_at_10": 0.159,
    "full_ndcg_at_10_low": 0.15,
    "full_ndcg_at_10_high": 0.17,
    "full_hr_at_10": 0.25,
    "ndcg_at_10": 0.4,
    "hr_at_10": 0.7,
    "popularity_full_ndcg_at_10": 0.04,
}
CLOSED = {**METRICS, "gate_passed": 0.0, "details": {"gate": [{"text": "worse than EASE|all", "passed": False}]}}


def test_a_summary_of_this_machine_is_a_table(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({"run_id": "x", "metrics": METRICS}))
    code, out, err = run("metrics", str(path))
    assert (code, err) == (0, "")
    heading, table, source = out.strip().split("\n\n")
    assert heading == "**Gate: open**"
    assert source == f"Source: `{path}`"
    assert table.splitlines()[0] == (
        "|  | NDCG@10, whole catalogue | HR@10, whole catalogue "
        "| NDCG@10, among 99 drawn items | HR@10, among 99 drawn items |"
    )
    assert table.splitlines()[2:] == [
        "| this model | 0.1590 (0.1500 to 0.1700) | 0.2500 | 0.4000 | 0.7000 |",
        "| popularity | 0.0400 |  |  |  |",
    ]


def test_a_closed_gate_has_its_reason(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    path.write_text(json.dumps(CLOSED))
    assert run("metrics", str(path))[1].startswith(r"**Gate: closed**: worse than EASE\|all")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"metrics": 3}', "text"])
def test_another_file_is_refused(run: Run, tmp_path: Path, content: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(content)
    code, out, err = run("metrics", str(path))
    assert (code, out) == (2, "")
    assert f"source: '{path}' has no metrics of evaluate" in err


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws"), Processes({})) as local:
        local.create_bucket("bucket")
        yield local


@pytest.mark.parametrize("key", ["evaluate/1/metrics", "evaluate/metrics"])
def test_a_run_in_s3_is_found_by_its_file(
    run: Run, aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """As TASK/EXECUTION/OUTPUT; with KFP 2.0.0-alpha.7 as TASK/OUTPUT."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    folder = f"root-{key.count('/')}"
    client(aws, "s3").put_object(Bucket="bucket", Key=f"{folder}/ncf/run-7/{key}", Body=json.dumps(METRICS).encode())
    client(aws, "s3").put_object(Bucket="bucket", Key=f"{folder}/ncf/run-7/evaluate/1/report", Body=b"x")
    file = tmp_path / "production.yaml"
    file.write_text(f"pipeline_root: s3://bucket/{folder}/\nparameters: {{}}\n")
    code, out, err = run("metrics", "--file", str(file), "--run-id", "run-7")
    assert (code, err) == (0, "")
    assert out.startswith("**Gate: open**")
    assert run("metrics", f"s3://bucket/{folder}/ncf/run-7")[1] == out
    code, _, err = run("metrics", "--file", str(file), "--run-id", "run-8")
    assert (code, "the run has not evaluated a model" in err) == (2, True)


@pytest.mark.parametrize("flags", [[], ["a", "--file=b", "--run-id=c"], ["--file=b"], ["a", "--run-id=c"]])
def test_one_source_is_needed(run: Run, flags: list[str]) -> None:
    code, _, err = run("metrics", *flags)
    assert (code, "source: expected a path or URI, or --file and --run-id" in err) == (2, True)


def test_a_file_of_another_pipeline_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "production.yaml"
    file.write_text("pipeline: own\npipeline_root: s3://bucket/root\nparameters: {}\n")
    code, _, err = run("metrics", "--file", str(file), "--run-id", "run-7")
    assert (code, f"{file}: 'pipeline' is 'own'; expected ncf, release, recommend" in err) == (2, True)
