"""Endpoints really serve, and answers have the shapes of AWS's own service model."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import ROLE, client, processes, put_model, settle, tar_gz

from components.local.aws import LocalAws
from components.local.aws.hosting import MAX_BODY
from components.local.aws.processes import wait_until


def test_the_life_of_an_endpoint(aws: LocalAws, sagemaker: Any) -> None:
    runtime = client(aws, "sagemaker-runtime")
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName=put_model(aws, "one", "one"))
    assert settle(sagemaker, "e")["EndpointStatus"] == "InService"

    def ask(body: str = "1") -> dict[str, Any]:
        answer = runtime.invoke_endpoint(EndpointName="e", Body=body, ContentType="application/json")
        assert answer["InvokedProductionVariant"] == "main"
        content: dict[str, Any] = json.loads(answer["Body"].read())
        return content

    assert ask() == {"model": "one", "got": 1}
    assert aws.endpoint_address("e").startswith("http://127.0.0.1:")

    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=put_model(aws, "two", "two"))
    assert settle(sagemaker, "e")["EndpointConfigName"] == "two"
    assert ask()["model"] == "two"

    for bad in ("sick", "crash"):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=put_model(aws, bad, bad))
        assert ask()["model"] == "two", "the old fleet serves meanwhile"
        answer = settle(sagemaker, "e")
        assert (answer["EndpointStatus"], answer["EndpointConfigName"]) == ("InService", "two")
        assert "ping health check" in answer["FailureReason"]
    assert ask()["model"] == "two"

    with pytest.raises(ClientError) as failure:
        runtime.invoke_endpoint(EndpointName="e", Body='"bad"', ContentType="application/json")
    assert failure.value.response["Error"]["Code"] == "ModelError"
    assert failure.value.response["OriginalStatusCode"] == 422

    sagemaker.delete_endpoint(EndpointName="e")
    with pytest.raises(ClientError, match='Could not find endpoint "arn'):
        sagemaker.describe_endpoint(EndpointName="e")
    with pytest.raises(ClientError, match="Endpoint e of account .* not found"):
        runtime.invoke_endpoint(EndpointName="e", Body="1")


def test_an_update_waits_for_the_answers_of_the_old_fleet(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_endpoint(EndpointName="busy", EndpointConfigName=put_model(aws, "before", "before"))
    settle(sagemaker, "busy")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(client(aws, "sagemaker-runtime").invoke_endpoint, EndpointName="busy", Body='"slow"')
        folder = aws.root / "endpoints" / "busy" / "before"
        assert wait_until((folder / "asked").exists, 5)
        sagemaker.update_endpoint(EndpointName="busy", EndpointConfigName=put_model(aws, "after", "after"))
        assert settle(sagemaker, "busy")["EndpointConfigName"] == "after"
        assert not asked.done(), "the old fleet still has a request to answer"
        (folder / "release").touch()
        assert json.loads(asked.result()["Body"].read())["model"] == "before"
    assert wait_until(lambda: len(processes(f"{aws.root}/endpoints/busy/")) == 1, 5)


def test_a_body_may_have_6_mib(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_endpoint(EndpointName="large", EndpointConfigName=put_model(aws, "large", "x"))
    settle(sagemaker, "large")
    runtime = client(aws, "sagemaker-runtime")
    runtime.invoke_endpoint(EndpointName="large", Body=b"0".ljust(MAX_BODY))
    with pytest.raises(ClientError, match=f"{MAX_BODY + 1} bytes"):
        runtime.invoke_endpoint(EndpointName="large", Body=b"0".ljust(MAX_BODY + 1))


def test_moto_keeps_the_tags_of_its_own_resources(sagemaker: Any) -> None:
    tags = [{"Key": "k", "Value": "v"}]
    made = sagemaker.create_model_package_group(ModelPackageGroupName="group", Tags=tags)
    assert sagemaker.list_tags(ResourceArn=made["ModelPackageGroupArn"])["Tags"] == tags


def test_an_endpoint_that_never_gets_healthy_fails_with_its_last_lines(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_endpoint(EndpointName="never", EndpointConfigName=put_model(aws, "broken", "crash"))
    answer = settle(sagemaker, "never")
    assert answer["EndpointStatus"] == "Failed"
    assert "the model is no good" in answer["FailureReason"]
    with pytest.raises(ClientError, match="is in status Failed"):
        client(aws, "sagemaker-runtime").invoke_endpoint(EndpointName="never", Body="1")


def test_models_and_configs_are_not_overwritten(aws: LocalAws, sagemaker: Any) -> None:
    put_model(aws, "kept", "x")
    with pytest.raises(ClientError, match='Cannot create already existing model "arn'):
        put_model(aws, "kept", "y")
    variant = {
        "VariantName": "main",
        "ModelName": "none",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.create_endpoint_config(EndpointConfigName="orphan", ProductionVariants=[variant])
    assert sagemaker.describe_model(ModelName="kept")["ExecutionRoleArn"] == ROLE
    assert "kept" in [entry["ModelName"] for entry in sagemaker.list_models(NameContains="kep")["Models"]]
    sagemaker.delete_endpoint_config(EndpointConfigName="kept")
    sagemaker.delete_model(ModelName="kept")
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName="kept")


def put_archive(aws: LocalAws, name: str, archive: bytes) -> str:
    client(aws, "s3").put_object(Bucket="bucket", Key=f"archives/{name}.tar.gz", Body=archive)
    sagemaker = client(aws, "sagemaker")
    container = {"Image": "ncf-deploy", "ModelDataUrl": f"s3://bucket/archives/{name}.tar.gz"}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "main", "ModelName": name, "InstanceType": "ml.m6i.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    return name


@pytest.mark.parametrize(
    ("name", "archive", "reason"),
    [
        ("whole", tar_gz("text", b"from an archive"), ""),
        ("torn", b"no archive at all", "torn.tar.gz cannot be unpacked"),
        ("outside", tar_gz("../../text", b"x"), "outside the destination"),
    ],
    ids=["whole", "torn", "outside"],
)
def test_a_model_in_an_archive(aws: LocalAws, sagemaker: Any, name: str, archive: bytes, reason: str) -> None:
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=put_archive(aws, name, archive))
    answer = settle(sagemaker, name)
    assert answer["EndpointStatus"] == ("Failed" if reason else "InService")
    assert reason in answer.get("FailureReason", "")


def test_a_program_that_cannot_be_started_fails_the_endpoint(
    aws: LocalAws, sagemaker: Any, programs: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(programs, "ncf-deploy", ["/no/such/program"])
    sagemaker.create_endpoint(EndpointName="unstarted", EndpointConfigName=put_model(aws, "unstarted", "x"))
    answer = settle(sagemaker, "unstarted")
    assert answer["EndpointStatus"] == "Failed"
    assert "/no/such/program" in answer["FailureReason"]


def test_a_model_gets_the_objects_below_its_prefix_alone(aws: LocalAws, sagemaker: Any) -> None:
    client(aws, "s3").put_object(Bucket="bucket", Key="models/v1-b/text", Body=b"of another")
    sagemaker.create_endpoint(EndpointName="v1", EndpointConfigName=put_model(aws, "v1", "its own"))
    assert settle(sagemaker, "v1")["EndpointStatus"] == "InService"
    answer = client(aws, "sagemaker-runtime").invoke_endpoint(EndpointName="v1", Body="1")
    assert json.loads(answer["Body"].read())["model"] == "its own"


def test_a_container_that_dies_is_started_again_and_its_files_outlive_an_update(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_endpoint(EndpointName="mortal", EndpointConfigName=put_model(aws, "mortal", "alive"))
    settle(sagemaker, "mortal")
    folder = aws.root / "endpoints" / "mortal"
    (process,) = processes(f"{folder}/")
    os.kill(process, signal.SIGKILL)
    runtime = client(aws, "sagemaker-runtime")

    def model() -> str:
        answer = runtime.invoke_endpoint(EndpointName="mortal", Body="1")
        return str(json.loads(answer["Body"].read())["model"])

    def answers() -> bool:
        try:
            return model() == "alive"
        except runtime.exceptions.ModelError:
            return False

    assert wait_until(lambda: process not in processes(f"{folder}/") and answers(), 10)
    sagemaker.update_endpoint(EndpointName="mortal", EndpointConfigName="mortal")
    assert (folder / "mortal" / "model" / "text").exists(), "the old fleet still serves from there"
    assert settle(sagemaker, "mortal")["EndpointStatus"] == "InService"
    assert model() == "alive"
    sagemaker.delete_endpoint(EndpointName="mortal")
    assert wait_until(lambda: not processes(f"{folder}/"), 5)


def test_lists_are_paged(aws: LocalAws, sagemaker: Any) -> None:
    names = {put_model(aws, f"page-{number}", "x") for number in range(11)}
    pages = list(sagemaker.get_paginator("list_models").paginate(NameContains="page-"))
    assert [len(page["Models"]) for page in pages] == [10, 1]
    assert {entry["ModelName"] for page in pages for entry in page["Models"]} == names


def test_a_single_model_endpoint_takes_no_target_model(aws: LocalAws, sagemaker: Any) -> None:
    sagemaker.create_endpoint(EndpointName="single", EndpointConfigName=put_model(aws, "single", "x"))
    settle(sagemaker, "single")
    with pytest.raises(ClientError, match="single is not a multi-model endpoint and does not support target model"):
        client(aws, "sagemaker-runtime").invoke_endpoint(EndpointName="single", Body="1", TargetModel="x.tar.gz")
