"""Recommendations in batch, in containers: the pipeline of its own, and a batch transform of the serving image."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow.parquet as pq
import pytest
from random_model import random_model

import pipeline
from components.local.aws import LocalAws
from components.local.aws.containers import Containers
from components.local.aws.engine import Engine
from ncf.artifacts.model_folder import ModelFolder
from ncf.serving.recommender import Recommender
from tests.images.conftest import TAG, environment_of_runs, left_behind

ROLE = "arn:aws:iam::123456789012:role/test"


@pytest.fixture(autouse=True)
def nothing_is_left(client: Any) -> Iterator[None]:
    before = set(left_behind(client))
    yield
    assert not set(left_behind(client)) - before


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    random_model("neumf", n_users=60, n_items=40).save(folder, {}, {"fingerprint": "test"})
    return folder


def test_containers_write_what_processes_write(client: Any, model: Path, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("u3\nnobody\nu59\n")
    tables = []
    for name, flags in (("processes", []), ("containers", ["--executor", "docker", "--tag", TAG])):
        command = [sys.executable, "pipeline.py", "recommend", "--output", str(tmp_path / name)]
        given = ["--model", str(model), "--users", str(tmp_path / "users.txt"), *flags]
        subprocess.run(
            [*command, *given],
            cwd=pipeline.ROOT,
            env=environment_of_runs(),
            check=True,
            capture_output=True,
            timeout=240,
        )
        tables.append(pq.read_table(tmp_path / name / "recommendations" / "parts"))
    assert tables[0].num_rows == 30
    assert tables[0].drop_columns("score").equals(tables[1].drop_columns("score"))
    # BLAS may take other kernels, so the last digits are another's
    np.testing.assert_allclose(*(table["score"].to_numpy() for table in tables), rtol=1e-5)


def test_a_batch_transform_of_the_serving_image(engine: Engine, image: Any, model: Path, tmp_path: Path) -> None:
    network = engine.open_network("transform")
    instances = Containers(engine, engine.gateway(network))
    with LocalAws(tmp_path / "aws", instances) as aws:
        keys = {"endpoint_url": aws.endpoint_url, "region_name": "us-east-1"}
        keys |= {name: aws.environment[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")}
        s3, sagemaker = boto3.client("s3", **keys), boto3.client("sagemaker", **keys)
        aws.create_bucket("bucket")
        for path in model.iterdir():
            s3.upload_file(str(path), "bucket", f"model/{path.name}")
        users = [f"u{number}" for number in range(60)]
        lines = "".join(json.dumps({"users": [user], "k": 5}) + "\n" for user in users)
        s3.put_object(Bucket="bucket", Key="in/all.json", Body=lines.encode())
        source = {"S3Uri": "s3://bucket/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        container = {"Image": image("deploy"), "ModelDataSource": {"S3DataSource": source}}
        sagemaker.create_model(
            ModelName="ncf", ExecutionRoleArn=ROLE, PrimaryContainer=container, EnableNetworkIsolation=True
        )
        requests = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}
        sagemaker.create_transform_job(
            TransformJobName="ncf",
            ModelName="ncf",
            BatchStrategy="SingleRecord",
            MaxConcurrentTransforms=4,
            TransformInput={
                "DataSource": {"S3DataSource": requests},
                "ContentType": "application/json",
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": "s3://bucket/out", "AssembleWith": "Line"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
        deadline = time.monotonic() + 60
        while (job := sagemaker.describe_transform_job(TransformJobName="ncf"))["TransformJobStatus"] == "InProgress":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert job["TransformJobStatus"] == "Completed", job["FailureReason"]
        output = s3.get_object(Bucket="bucket", Key="out/all.json.out")["Body"].read()
    answers = [json.loads(line)["recommendations"][0] for line in output.splitlines()]
    expected = Recommender(ModelFolder.load(model)).recommend(users, 5)
    assert [answer["user"] for answer in answers] == users
    for one, other in zip(answers, expected, strict=True):
        assert [item["item"] for item in one["items"]] == [item["item"] for item in other["items"]]
