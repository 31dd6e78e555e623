"""Batch transform jobs of any image, in the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from foreign_account import BUCKET, IMAGE, PREFIX, ROLE, foreign_account, names_of, run, train_parameters

from ncf.errors import InputError, RemoteError
from ncf.sagemaker.jobs import job
from ncf.stages.sagemaker_train import SagemakerTrain
from ncf.stages.sagemaker_transform import SagemakerTransform

GIVEN: dict[str, Any] = {
    "deploy_image": IMAGE,
    "input_location": f"s3://{BUCKET}/raw/",
    "content_type": "text/csv",
    "split_type": "Line",
    "assemble_with": "Line",
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with foreign_account(tmp_path_factory.mktemp("account")) as local:
        boto3.client("s3").put_object(Bucket=BUCKET, Key="model/line.json", Body=b'{"slope": 2, "offset": 1}')
        yield local


@pytest.fixture(autouse=True)
def no_faults(account: Any) -> None:
    account.faults.clear()


def transform(folder: Path, run_id: str, **changes: Any) -> Path:
    given = {**GIVEN, **({} if "model" in changes else {"model_uri": f"s3://{BUCKET}/model/"}), **changes}
    return run(SagemakerTransform, folder, run_id, **given)


def described(name: str) -> dict[str, Any]:
    answer: dict[str, Any] = boto3.client("sagemaker").describe_transform_job(TransformJobName=name)
    return answer


def models() -> list[str]:
    return [entry["ModelName"] for entry in boto3.client("sagemaker").list_models()["Models"]]


def test_answers_for_all_objects_and_no_model_is_left(tmp_path: Path) -> None:
    outputs = transform(tmp_path, "usual", max_payload=1, max_concurrent=2, batch_strategy="SingleRecord")
    answers = (outputs / "transformed/a.csv.out").read_text().split()
    assert answers == [f"{2 * x / 10 + 1:.3f}" for x in range(10)]
    assert sorted(path.name for path in (outputs / "transformed").iterdir()) == ["a.csv.out", "b.csv.out"]
    name = (outputs / "job_name").read_text()
    assert (outputs / "output_location").read_text() == f"{PREFIX}/{name}/transformed"
    assert json.loads((outputs / "metrics").read_text())["objects"] == 2
    assert models() == []
    request = described(name)
    assert (request["MaxPayloadInMB"], request["MaxConcurrentTransforms"]) == (1, 2)
    assert "DataProcessing" not in request


@pytest.mark.parametrize("compress", [False, True])
def test_a_model_and_data_that_are_artifacts(compress: bool, tmp_path: Path) -> None:
    trained = run(SagemakerTrain, tmp_path, f"trained-{compress}", **train_parameters(compress_model=compress))
    (tmp_path / "rows.csv").write_text("0.5\n")
    given = {"model": trained / "trained_model", "data": tmp_path / "rows.csv", "input_location": ""}
    outputs = transform(tmp_path, f"artifacts-{compress}", **given)
    (answers,) = (outputs / "transformed").iterdir()
    assert float(answers.read_text()) > 0


def test_instances_share_the_objects(tmp_path: Path) -> None:
    outputs = transform(tmp_path, "several", instance_count=2)
    name = (outputs / "job_name").read_text()
    streams = boto3.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=f"{name}/"
    )["logStreams"]
    assert len(streams) == 2
    assert sorted(path.name for path in (outputs / "transformed").iterdir()) == ["a.csv.out", "b.csv.out"]


def test_a_model_that_exists_already_is_kept(tmp_path: Path) -> None:
    source = {"S3Uri": f"s3://{BUCKET}/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": IMAGE, "ModelDataSource": {"S3DataSource": source}}
    boto3.client("sagemaker").create_model(ModelName="mine", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    transform(tmp_path, "named", model_name="mine", deploy_image="", model_uri="")
    assert models() == ["mine"]
    boto3.client("sagemaker").delete_model(ModelName="mine")


def test_a_model_that_is_seen_late_and_a_throttled_creation(account: Any, tmp_path: Path) -> None:
    account.faults.add("late", "CreateTransformJob", times=2)
    account.faults.add("refuse", "CreateTransformJob", error="ThrottlingException")
    before = len(names_of("transform_jobs"))
    for attempt in ("first", "second"):
        transform(tmp_path / attempt, "late")
    assert len(names_of("transform_jobs")) == before + 1, "and a retry attaches"


def test_a_failure_has_sagemaker_s_reason_and_an_internal_one_another_job(account: Any, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="ClientError: No S3 objects found"):
        transform(tmp_path, "empty", input_location=f"s3://{BUCKET}/nothing/")
    account.faults.add("fail", "ncf-train", state="InProgress")
    assert (transform(tmp_path, "internal") / "job_name").read_text().endswith("-2")


def test_sigterm_stops_the_job_and_a_retry_starts_another(account: Any, tmp_path: Path) -> None:
    account.faults.add("hold", "ncf-train", state="InProgress", seconds=60)
    with patch.object(job._Job, "follow", side_effect=SystemExit(143)), pytest.raises(SystemExit):
        transform(tmp_path, "stopped")
    stopped = names_of("transform_jobs")[-1]
    assert described(stopped)["TransformJobStatus"] in ("Stopping", "Stopped")
    assert (transform(tmp_path, "stopped") / "job_name").read_text() == f"{stopped}-2"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"deploy_image": ""}, "'deploy_image' or 'model_name' is required"),
        ({"input_location": ""}, "'data' or 'input_location' is required"),
        ({"input_location": "/data"}, "expected an s3:// URI"),
        ({"max_payload": 50, "max_concurrent": 3}, r"'max_concurrent' \* 'max_payload' is 3 \* 50; at most 100 MB"),
        ({"input_filter": "$" * 64}, "parameter 'input_filter' is .*at most 63 characters"),
        ({"instance_type": "ml.p5.48xlarge"}, "parameter 'instance_type' is 'ml.p5.48xlarge': AWS accepts one of"),
        ({"environment": {f"SAGEMAKER_{n}": "x" for n in range(17)}}, "'environment' is .*at most 16 entries"),
    ],
)
def test_what_aws_would_refuse_is_refused_before_any_call(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        transform(tmp_path, "refused", **changes)
    assert models() == []
