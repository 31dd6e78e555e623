"""Endpoints: created, updated, taken up again, and left as they were when that fails."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fake_sagemaker import REGISTRY, ROLE, FakeSageMaker, RefusalError
from random_model import random_model

from ncf.errors import InputError, RemoteError
from ncf.models.model_folder import ModelFolder
from ncf.sagemaker.endpoint import VARIANT, EndpointPlan, deploy, names
from ncf.sagemaker.session import Aws
from ncf.sagemaker.settings import AwsSettings, EndpointSettings
from ncf.sagemaker.smoke_test import SmokeTest
from ncf.serving.recommender import Recommender

IMAGE = f"{REGISTRY}/ncf-deploy:1"


def plan(run: str = "run-1", model: str = "fingerprint", **settings: Any) -> EndpointPlan:
    chosen = EndpointSettings(role=ROLE, **{"deploy_image": IMAGE, "endpoint_name": "shop", **settings})
    return EndpointPlan(chosen, *names(chosen, run, model), model="s3://b/model")


def bring_up(aws: Aws, asked: EndpointPlan) -> str:
    return deploy(aws, asked, provide=lambda: None, check=lambda: "answers")


def fail() -> None:
    raise RemoteError("smoke test: wrong items")


def test_the_requests_say_all_that_the_settings_say(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked = plan(
        endpoint_instance_type="ml.c5.xlarge",
        initial_instance_count=2,
        startup_timeout=120,
        resource_encryption_key="alias/volume",
        vpc_subnets="subnet-1",
        vpc_security_group_ids="sg-1",
        tags={"team": "x"},
    )
    assert bring_up(aws, asked) == "answers"
    tags = [{"Key": "team", "Value": "x"}]
    assert sagemaker.models == {
        asked.version: {
            "ModelName": asked.version,
            "PrimaryContainer": {
                "Image": IMAGE,
                "ModelDataSource": {
                    "S3DataSource": {
                        "S3Uri": "s3://b/model/",
                        "S3DataType": "S3Prefix",
                        "CompressionType": "None",
                    }
                },
            },
            "ExecutionRoleArn": ROLE,
            "EnableNetworkIsolation": True,
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            "Tags": tags,
        }
    }
    assert sagemaker.configs[asked.version] == {
        "EndpointConfigName": asked.version,
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": asked.version,
                "InstanceType": "ml.c5.xlarge",
                "InitialInstanceCount": 2,
                "InitialVariantWeight": 1.0,
                "ContainerStartupHealthCheckTimeoutInSeconds": 120,
            }
        ],
        "KmsKeyId": "alias/volume",
        "Tags": tags,
    }
    assert (
        "CreateEndpoint",
        {"EndpointName": "shop", "EndpointConfigName": asked.version, "Tags": tags},
    ) in (sagemaker.calls)


def test_a_second_try_takes_up_the_endpoint_of_the_first(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    provided: list[int] = []
    deploy(aws, plan(), provide=lambda: provided.append(1), check=lambda: None)
    assert provided == []
    assert len(sagemaker.models) == len(sagemaker.configs) == len(sagemaker.endpoints) == 1
    assert "UpdateEndpoint" not in sagemaker.operations()


def test_another_model_updates_the_endpoint(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    bring_up(aws, plan(model="better"))
    assert sagemaker.endpoints["shop"]["config"] == plan(model="better").version
    assert sagemaker.operations().count("CreateEndpoint") == 1


def test_an_update_waits_for_the_one_before(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    aws.call("sagemaker", "update_endpoint", EndpointName="shop", EndpointConfigName="somebody-elses")
    bring_up(aws, plan(model="better"))
    assert sagemaker.endpoints["shop"]["previous"] == "somebody-elses"


def test_a_deletion_is_waited_for(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    sagemaker.delete_slowly("shop")
    bring_up(aws, plan())
    assert sagemaker.endpoints["shop"]["status"] == "InService"
    assert sagemaker.operations().count("CreateEndpoint") == 2


def test_an_endpoint_of_an_earlier_try_that_fails_is_deleted(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.create_ends = "Failed"
    aws.call("sagemaker", "create_endpoint", EndpointName="shop", EndpointConfigName=plan().version)
    with pytest.raises(RemoteError, match="ping health check"):
        bring_up(aws, plan())
    assert sagemaker.models == sagemaker.configs == sagemaker.endpoints == {}


def test_two_pods_that_race_make_one_update(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    better, start, results = plan(model="better"), threading.Barrier(2), []

    def pod() -> None:
        clients = sagemaker.attach(Aws(AwsSettings(role=ROLE)))
        start.wait()
        results.append(bring_up(clients, better))

    threads = [threading.Thread(target=pod) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["answers", "answers"]
    assert sagemaker.endpoints["shop"]["config"] == better.version


def test_without_a_name_each_run_has_its_own_endpoint() -> None:
    first, again, second = (plan(run, endpoint_name="") for run in ("run-1", "run-1", "run-2"))
    assert first == again
    assert first.name != second.name
    assert len({first.version, second.version, first.name}) == 3


@pytest.mark.parametrize("changed", [{"initial_instance_count": 2}, {"deploy_image": "x"}, {"tags": {"a": "b"}}])
def test_another_setting_is_another_version(changed: dict[str, Any]) -> None:
    assert plan(**changed).version != plan().version
    assert plan(s3_prefix="s3://b/x", smoke_test_users=1).version == plan().version
    assert len(plan(endpoint_name="x" * 63).version) == 63


def test_a_rolled_back_update_is_a_failure_and_leaves_nothing(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    sagemaker.update_ends = "RolledBack"
    sagemaker.log = {f"{VARIANT}/i-1": ["out of memory"]}
    with pytest.raises(RemoteError, match=r"(?s)\| out of memory\n.*rolled back.*Alarm fired.*endpoints/shop"):
        bring_up(aws, plan(model="worse"))
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert list(sagemaker.models) == list(sagemaker.configs) == [plan().version]


def test_an_endpoint_that_does_not_come_up_is_deleted(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.create_ends = "Failed"
    with pytest.raises(RemoteError, match="endpoint shop: Failed: The primary container did not pass the ping"):
        bring_up(aws, plan())
    assert sagemaker.models == sagemaker.configs == sagemaker.endpoints == {}


def test_a_refused_config_leaves_no_model(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.refusals["CreateEndpointConfig"] = RefusalError("ValidationException", "no such key")
    with pytest.raises(InputError, match="no such key"):
        bring_up(aws, plan())
    assert sagemaker.models == {}


def test_a_new_endpoint_that_fails_the_check_is_deleted(aws: Aws, sagemaker: FakeSageMaker) -> None:
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(), provide=lambda: None, check=fail)
    assert sagemaker.models == sagemaker.configs == sagemaker.endpoints == {}


def test_an_updated_endpoint_that_fails_the_check_goes_back(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model="worse"), provide=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert sagemaker.endpoints["shop"]["status"] == "InService"
    assert list(sagemaker.models) == list(sagemaker.configs) == [plan().version]


def test_a_failed_endpoint_of_somebody_else_is_not_touched(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.create_ends = "Failed"
    aws.call("sagemaker", "create_endpoint", EndpointName="shop", EndpointConfigName="theirs")
    with pytest.raises(RemoteError, match=r"shop is Failed.*delete-endpoint --endpoint-name shop"):
        bring_up(aws, plan())
    assert sagemaker.endpoints["shop"]["config"] == "theirs"
    assert sagemaker.models == sagemaker.configs == {}


def test_waiting_is_bounded(aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    sagemaker.describes_until_end = 10**9
    monkeypatch.setattr("ncf.sagemaker.session.time.monotonic", iter(range(0, 10**6, 20)).__next__)
    with pytest.raises(RemoteError, match=r"still Creating after 60 s.*endpoint_wait_time"):
        bring_up(aws, plan(endpoint_wait_time=60))
    assert list(sagemaker.models) == list(sagemaker.configs) == [plan().version], "they are in use"


def test_leaving_says_how_to_remove_the_endpoint(
    aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        deploy(aws, plan(), provide=lambda: None, check=leave)
    assert "delete-endpoint --endpoint-name shop" in caplog.text
    assert "shop" in sagemaker.endpoints


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    random_model(n_items=12).save(tmp_path / "model", {}, {})
    return tmp_path / "model"


def answer_of(folder: Path) -> Any:
    model = ModelFolder.load(folder)
    recommender = Recommender(model)
    return lambda body: {
        "model_version": model.version,
        "recommendations": recommender.recommend(body["users"], body["k"]),
    }


def test_the_smoke_test_passes_what_the_server_answers(aws: Aws, sagemaker: FakeSageMaker, model_folder: Path) -> None:
    sagemaker.answer = answer_of(model_folder)
    test = SmokeTest.of_model(model_folder, 3)
    assert test.users == ["u0", "u4", "u8"]
    assert test.run(aws, "shop") >= 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a.update(model_version="0123"), "model version 0123"),
        (lambda a: a["recommendations"].pop(), "asked for users"),
        (lambda a: a["recommendations"][1].update(source="popular"), "u4.*popular"),
        (lambda a: a["recommendations"][0]["items"].pop(), "u0 gets 6 different items; expected 7"),
        (
            lambda a: a["recommendations"][0]["items"].append(a["recommendations"][0]["items"][0]),
            "expected 7",
        ),
        (lambda a: a.pop("recommendations"), "KeyError"),
    ],
)
def test_the_smoke_test_says_what_is_wrong(
    spoil: Any, words: str, aws: Aws, sagemaker: FakeSageMaker, model_folder: Path
) -> None:
    right = answer_of(model_folder)
    test = SmokeTest.of_model(model_folder, 3)

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = right(body)
        spoil(content)
        return content

    sagemaker.answer = answer
    with pytest.raises(RemoteError, match=words):
        test.run(aws, "shop")


def test_the_smoke_test_finds_items_seen_before(aws: Aws, sagemaker: FakeSageMaker, model_folder: Path) -> None:
    right = answer_of(model_folder)
    test = SmokeTest.of_model(model_folder, 1)
    seen = sorted(test.seen["u0"])[0]

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = right(body)
        content["recommendations"][0]["items"][0]["item"] = seen
        return content

    sagemaker.answer = answer
    with pytest.raises(RemoteError, match=f"u0 gets items seen before: {seen}"):
        test.run(aws, "shop")
