"""Processing jobs of any image, in the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from foreign_account import BUCKET, IMAGE, PREFIX, foreign_account, names_of, run

from ncf.errors import InputError, RemoteError
from ncf.sagemaker.jobs import job
from ncf.stages.sagemaker_process import SagemakerProcess

GIVEN: dict[str, Any] = {
    "process_image": IMAGE,
    "container_entrypoint": ["prepare"],
    "container_arguments": ["0.7"],
    "input_config": {"data": f"s3://{BUCKET}/raw/"},
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with foreign_account(tmp_path_factory.mktemp("account")) as local:
        yield local


@pytest.fixture(autouse=True)
def no_faults(account: Any) -> None:
    account.faults.clear()


def described(name: str) -> dict[str, Any]:
    answer: dict[str, Any] = boto3.client("sagemaker").describe_processing_job(ProcessingJobName=name)
    return answer


def rows(folder: Path) -> int:
    return sum(len(path.read_text().split()) for path in folder.rglob("*.csv"))


def test_a_command_reads_an_artifact_and_writes_artifacts(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pairs.csv").write_text("\n".join(f"{x},{x}" for x in range(10)))
    given = {**GIVEN, "input_config": {}, "data": tmp_path / "data"}
    outputs = run(SagemakerProcess, tmp_path, "artifact", **given)
    assert (rows(outputs / "train"), rows(outputs / "validation")) == (7, 3)
    assert list((outputs / "test").iterdir()) == [], "nothing was written there"
    name = (outputs / "job_name").read_text()
    uris = json.loads((outputs / "output_artifacts").read_text())
    assert uris["train"] == f"{PREFIX}/{name}/train"
    assert set(uris) == {"processed", "train", "validation", "test"}
    assert json.loads((outputs / "metrics").read_text())["processing_seconds"] >= 1
    assert f"`{uris['validation']}`: 1 objects" in (outputs / "summary").read_text()
    assert described(name)["ProcessingInputs"][0]["S3Input"]["S3Uri"] == f"{PREFIX}/{name}/data/"


def test_instances_share_the_objects_and_further_outputs_are_where_they_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sharded = {"uri": f"s3://{BUCKET}/raw/", "distribution": "ShardedByS3Key"}
    copy = {"uri": f"s3://{BUCKET}/copy", "path": "/opt/ml/processing/output/train", "mode": "EndOfJob"}
    given = {**GIVEN, "input_config": {"data": sharded}, "output_config": {"copy": copy}, "instance_count": 2}
    outputs = run(SagemakerProcess, tmp_path, "sharded", **given)
    files = sorted(path.name for path in (outputs / "train").iterdir())
    assert files == ["a-algo-1.csv", "b-algo-2.csv"], "each instance had one object"
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="copy/")["Contents"]
    assert [entry["Key"] for entry in listed] == [f"copy/{name}" for name in files]
    assert "algo-2 | algo-2 of 2: b.csv: 10 rows" in capsys.readouterr().out


def test_a_retry_attaches_and_a_throttled_creation_buys_one_job(account: Any, tmp_path: Path) -> None:
    account.faults.add("refuse", "CreateProcessingJob", error="ThrottlingException", times=2)
    before = len(names_of("processing_jobs"))
    for attempt in ("first", "second"):
        run(SagemakerProcess, tmp_path / attempt, "retried", **GIVEN)
    assert len(names_of("processing_jobs")) == before + 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"container_arguments": ["none"]}, r"AlgorithmError: See job logs.*exit code 1; correct the cause first"),
        ({"input_config": {"data": f"s3://{BUCKET}/nothing/"}}, "ClientError: No S3 objects found"),
        ({"process_image": "registry.example/other:1"}, "ClientError: The image 'registry.example/other:1'"),
    ],
)
def test_a_failure_has_sagemaker_s_reason(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=said):
        run(SagemakerProcess, tmp_path, "failed", **{**GIVEN, **changes})
    assert "# ncf-train-" in (tmp_path / "sagemaker_process/summary").read_text()


def test_an_internal_error_is_followed_by_another_job(account: Any, tmp_path: Path) -> None:
    account.faults.add("fail", "ncf-train", state="InProgress")
    assert (run(SagemakerProcess, tmp_path, "internal", **GIVEN) / "job_name").read_text().endswith("-2")


def test_a_job_that_takes_too_long_names_its_limit(account: Any, tmp_path: Path) -> None:
    given = {**GIVEN, "container_entrypoint": ["prepare_slowly"], "max_run_time": 1}
    with pytest.raises(RemoteError, match="start a new run with a larger 'max_run_time' than 1"):
        run(SagemakerProcess, tmp_path, "slow", **given)


def test_sigterm_stops_the_job_and_a_retry_starts_another(account: Any, tmp_path: Path) -> None:
    account.faults.add("hold", "ncf-train", state="InProgress", seconds=60)
    with patch.object(job._Job, "follow", side_effect=SystemExit(143)), pytest.raises(SystemExit):
        run(SagemakerProcess, tmp_path, "stopped", **GIVEN)
    stopped = names_of("processing_jobs")[-1]
    assert described(stopped)["ProcessingJobStatus"] in ("Stopping", "Stopped")
    assert (run(SagemakerProcess, tmp_path, "stopped", **GIVEN) / "job_name").read_text() == f"{stopped}-2"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output_config": {"train": "s3://b/x"}}, "'train' is an output artifact"),
        (
            {"output_config": {"more": {"uri": "s3://b/x", "mode": "Now"}}},
            "'output_config' is 'Now': AWS accepts one of",
        ),
        ({"input_config": {f"i{n}": "s3://b/x" for n in range(11)}}, "'input_config' is .*at most 10 entries"),
        ({"max_run_time": 777601}, "max_run_time"),
        ({"instance_type": "ml.trn1.2xlarge"}, "parameter 'instance_type' is 'ml.trn1.2xlarge': AWS accepts one of"),
    ],
)
def test_what_aws_would_refuse_is_refused_before_any_call(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    before = names_of("processing_jobs")
    with pytest.raises(InputError, match=said):
        run(SagemakerProcess, tmp_path, "refused", **{**GIVEN, **changes})
    assert names_of("processing_jobs") == before
