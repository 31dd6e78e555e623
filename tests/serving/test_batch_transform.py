"""The serving image's program as a SageMaker batch transform: the very answers of the endpoint, file by file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from random_model import random_model
from warm_python import shared_python

from components.local.aws import LocalAws, Processes
from ncf.artifacts.model_folder import ModelFolder
from ncf.serving.recommender import Recommender
from ncf.storage import upload

SERVE = Path(__file__).parents[2] / "images" / "deploy" / "serve"
ROLE = "arn:aws:iam::123456789012:role/test"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    random_model(n_users=30).save(folder, {}, {})
    return folder


@pytest.fixture(scope="module")
def sagemaker(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    instances = Processes({"ncf-deploy": [str(shared_python()), str(SERVE)]})
    with LocalAws(tmp_path_factory.mktemp("aws"), instances) as aws, pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment.items():
            patch.setenv(name, value)
        from ncf import storage

        storage._client.cache_clear()
        aws.create_bucket("bucket")
        upload(model, "s3://bucket/model")
        client = boto3.client("sagemaker")
        source = {"S3Uri": "s3://bucket/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        container = {"Image": "r.example/ncf-deploy:1", "ModelDataSource": {"S3DataSource": source}}
        client.create_model(ModelName="ncf", ExecutionRoleArn=ROLE, PrimaryContainer=container)
        yield client
    storage._client.cache_clear()


def transform(
    sagemaker: Any, name: str, files: dict[str, bytes], given: Any, wanted: Any, **more: Any
) -> dict[str, bytes]:
    """Run a job to its end: the output of each file."""
    s3 = boto3.client("s3")
    for key, content in files.items():
        s3.put_object(Bucket="bucket", Key=f"{name}/in/{key}", Body=content)
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{name}/in/"}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName="ncf",
        TransformInput={"DataSource": {"S3DataSource": source}, **given},
        TransformOutput={"S3OutputPath": f"s3://bucket/{name}/out", **wanted},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    )
    deadline = time.monotonic() + 60
    while (job := sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert job["TransformJobStatus"] == "Completed", job["FailureReason"]
    return {key: s3.get_object(Bucket="bucket", Key=f"{name}/out/{key}.out")["Body"].read() for key in files}


def expected(model: Path, users: list[str], k: int) -> list[Any]:
    return json.loads(json.dumps(Recommender(ModelFolder.load(model)).recommend(users, k)))


def test_a_json_request_a_file(sagemaker: Any, model: Path) -> None:
    files = {f"{k}.json": json.dumps({"users": ["u3", "u29", "nobody"], "k": k}).encode() for k in (2, 7)}
    found = transform(sagemaker, "files", files, {"ContentType": "application/json"}, {})
    for k in (2, 7):
        assert json.loads(found[f"{k}.json"])["recommendations"] == expected(model, ["u3", "u29", "nobody"], k)


def test_a_json_request_a_line(sagemaker: Any, model: Path) -> None:
    users = [f"u{number}" for number in range(30)]
    lines = "".join(json.dumps({"users": [user], "k": 4}) + "\n" for user in users)
    found = transform(
        sagemaker,
        "lines",
        {"all.json": lines.encode()},
        {"ContentType": "application/json", "SplitType": "Line"},
        {"Accept": "application/json", "AssembleWith": "Line"},
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=4,
    )
    answers = [json.loads(line)["recommendations"][0] for line in found["all.json"].splitlines()]
    assert answers == expected(model, users, 4)


@pytest.mark.parametrize("split", [{}, {"SplitType": "Line"}])
def test_json_lines_under_json_and_nothing_else_said(sagemaker: Any, model: Path, split: dict[str, str]) -> None:
    users = [f"u{number}" for number in range(30)]
    lines = "".join(json.dumps({"users": [user], "k": 4}) + "\n" for user in users)
    name = f"json-{split.get('SplitType', 'none').lower()}"
    given = {"ContentType": "application/json", **split}
    found = transform(sagemaker, name, {"all.json": lines.encode()}, given, {})
    answers = [json.loads(line)["recommendations"][0] for line in found["all.json"].splitlines()]
    assert answers == expected(model, users, 4)


@pytest.mark.parametrize("accept", ["application/jsonlines", "application/json"])
def test_json_lines_many_a_request(sagemaker: Any, model: Path, accept: str) -> None:
    """As many lines as fit go together, which only JSON Lines allows."""
    users = [f"u{number}" for number in range(30)]
    lines = "".join(json.dumps({"users": [user], "k": 4}) + "\n" for user in users)
    found = transform(
        sagemaker,
        f"jsonlines-{accept.rpartition('/')[2]}",
        {"all.jsonl": lines.encode()},
        {"ContentType": "application/jsonlines", "SplitType": "Line"},
        {"Accept": accept, "AssembleWith": "Line"},
        BatchStrategy="MultiRecord",
    )
    content = found["all.jsonl"]
    bodies = (
        json.loads(content) if accept == "application/json" else [json.loads(line) for line in content.splitlines()]
    )
    answers = [answer for body in bodies for answer in body["recommendations"]]
    assert answers == expected(model, users, 4)


@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_csv_of_users(sagemaker: Any, model: Path, strategy: str) -> None:
    users = ["u0", "u7", "nobody", "u29"]
    found = transform(
        sagemaker,
        f"csv-{strategy.lower()}",
        {"users.csv": ("\n".join(users) + "\n").encode()},
        {"ContentType": "text/csv", "SplitType": "Line"},
        {"Accept": "text/csv", "AssembleWith": "Line"},
        BatchStrategy=strategy,
    )
    rows = [line.split(",") for line in found["users.csv"].decode().splitlines()]
    assert rows == [[item["item"] for item in answer["items"]] for answer in expected(model, users, 10)]
