"""The deploy stage against an AWS account on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from local_account import BUCKET, ROLE, executor_input, local_account
from random_model import random_model

from ncf import command
from ncf.errors import InputError, RemoteError
from ncf.stages.deploy import Deploy
from ncf.storage import list_objects, upload

PREFIX = f"s3://{BUCKET}/ncf"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


@pytest.fixture
def client(account: Any) -> Any:
    return boto3.client("sagemaker")


def write_model(folder: Path, seed: int = 0, broken: bool = False) -> Path:
    model = random_model(seed=seed)
    replace(model, history={"broken": broken}).save(folder, {}, {})
    return folder


def arguments(folder: Path, model: Path | str, *more: str) -> list[str]:
    flags = {
        "model": model,
        "role": ROLE,
        "deploy-image": "registry/ncf-deploy:1",
        "endpoint": folder / "endpoint",
        "summary": folder / "summary",
        "metrics": folder / "metrics",
    }
    return [*(part for name, value in flags.items() for part in (f"--{name}", str(value))), *more]


def test_a_model_outside_s3_is_copied_hosted_and_updated(tmp_path: Path, client: Any) -> None:
    first, second = (write_model(tmp_path / f"model-{seed}", seed) for seed in (1, 2))
    flags = ("--s3-prefix", PREFIX, "--endpoint-name", "shop", "--run-id", "run-1", "--bake-time", "0")
    command.run(Deploy, arguments(tmp_path, first, *flags))
    assert (tmp_path / "endpoint").read_text() == "shop"
    assert json.loads((tmp_path / "metrics").read_text())["smoke_test_users"] == 3
    config = client.describe_endpoint(EndpointName="shop")["EndpointConfigName"]
    assert f"{PREFIX}/{config}/model/manifest.json" in list_objects(f"{PREFIX}/{config}")
    summary = (tmp_path / "summary").read_text()
    for words in (
        "#/endpoints/shop",
        "aws sagemaker-runtime invoke-endpoint",
        '{"users":["u0","u4","u8"]',
        config,
    ):
        assert words in summary

    created = client.describe_endpoint(EndpointName="shop")["CreationTime"]
    command.run(Deploy, arguments(tmp_path, first, *flags))  # a second try of the run
    assert client.describe_endpoint(EndpointName="shop")["EndpointConfigName"] == config

    command.run(Deploy, arguments(tmp_path, second, *flags))
    updated = client.describe_endpoint(EndpointName="shop")
    assert updated["EndpointConfigName"] != config
    assert updated["CreationTime"] == created


def test_a_model_in_s3_is_hosted_from_there(tmp_path: Path, client: Any) -> None:
    model, uri = write_model(tmp_path / "model", 3), f"s3://{BUCKET}/root/{tmp_path.name}/job/output/model"
    upload(model, uri)
    kfp = executor_input(tmp_path, {"model": uri}, {})
    command.run(Deploy, arguments(tmp_path, model, "--run-id", "run-2", *kfp))
    name = (tmp_path / "endpoint").read_text()
    assert name.startswith("ncf-")
    hosted = client.describe_model(ModelName=client.describe_endpoint(EndpointName=name)["EndpointConfigName"])
    source = hosted["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source == {"S3Uri": f"{uri}/", "S3DataType": "S3Prefix", "CompressionType": "None"}


def test_a_model_that_does_not_come_up_leaves_the_old_one_serving(tmp_path: Path, client: Any) -> None:
    flags = ("--s3-prefix", PREFIX, "--endpoint-name", "steady")
    command.run(Deploy, arguments(tmp_path, write_model(tmp_path / "good", 4), *flags))
    before = client.describe_endpoint(EndpointName="steady")["EndpointConfigName"]
    models = {entry["ModelName"] for entry in client.list_models(MaxResults=100)["Models"]}
    with pytest.raises(RemoteError, match="rolled back"):
        command.run(Deploy, arguments(tmp_path, write_model(tmp_path / "bad", 5, broken=True), *flags))
    after = client.describe_endpoint(EndpointName="steady")
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", before)
    assert {entry["ModelName"] for entry in client.list_models(MaxResults=100)["Models"]} == models


def test_a_new_endpoint_that_does_not_come_up_is_removed(tmp_path: Path, client: Any) -> None:
    model = write_model(tmp_path / "bad", 6, broken=True)
    with pytest.raises(RemoteError, match="endpoint gone: Failed"):
        command.run(Deploy, arguments(tmp_path, model, "--s3-prefix", PREFIX, "--endpoint-name", "gone"))
    names = [entry["EndpointName"] for entry in client.list_endpoints(MaxResults=100)["Endpoints"]]
    assert "gone" not in names
    assert not [name for name in tmp_path.iterdir() if name.name in ("endpoint", "metrics")]
    assert "does not load" in (tmp_path / "summary").read_text()


def test_what_can_be_mended_is_named(tmp_path: Path, account: Any) -> None:
    model = write_model(tmp_path / "model", 7)
    with pytest.raises(InputError, match="'s3_prefix' is empty"):
        command.run(Deploy, arguments(tmp_path, model))
    (model / "popularity.npy").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"popularity\.npy"):
        command.run(Deploy, arguments(tmp_path, model, "--s3-prefix", PREFIX))
    with pytest.raises(InputError, match="no such folder"):
        command.run(Deploy, arguments(tmp_path, tmp_path / "absent", "--s3-prefix", PREFIX))
