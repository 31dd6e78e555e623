"""Endpoints: created, updated, taken up again, and left as they were when that fails."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fake_sagemaker import REGISTRY, ROLE, FakeSageMaker, RefusalError
from random_model import random_model

from ncf.artifacts.model_folder import ModelFolder
from ncf.aws.names import VARIANT
from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting import endpoint
from ncf.sagemaker.hosting.endpoint import EndpointPlan, deploy, names
from ncf.sagemaker.hosting.settings import EndpointSettings
from ncf.sagemaker.hosting.smoke_test import SmokeTest
from ncf.sagemaker.settings import AwsSettings
from ncf.serving.recommender import Recommender

IMAGE = f"{REGISTRY}/ncf-deploy:1"


def plan(run: str = "run-1", model: str = "fingerprint", **settings: Any) -> EndpointPlan:
    chosen = EndpointSettings(role=ROLE, **{"deploy_image": IMAGE, "endpoint_name": "shop", **settings})
    return EndpointPlan(chosen, run, *names(chosen, run, model), model="s3://b/model")


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
    own = {"ncf:run": "run-1", "ncf:stage": "deploy", "team": "x"}
    tags = [{"Key": key, "Value": value} for key, value in own.items()]
    tags_of_version = [{"Key": "ncf:endpoint", "Value": "shop"}, *tags]
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
            "Tags": tags_of_version,
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
        "Tags": tags_of_version,
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


def test_the_update_of_a_pod_that_was_killed_is_taken_back_if_the_model_is_bad(
    aws: Aws, sagemaker: FakeSageMaker
) -> None:
    """The second try finds the new config in service, and knows from the endpoint's tag what was there before."""
    bring_up(aws, plan())
    better, started = plan(model="better"), []

    def killed() -> None:
        started.append(1)
        raise SystemExit(137)

    with pytest.raises(SystemExit):
        deploy(aws, better, provide=lambda: None, check=killed)
    assert sagemaker.endpoints["shop"]["config"] == better.version
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, better, provide=lambda: None, check=fail)
    assert started
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert better.version not in sagemaker.configs


def test_a_failed_endpoint_of_a_pod_that_was_killed_makes_room(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.create_ends = "Failed"
    aws.call("sagemaker", "create_endpoint", EndpointName="shop", EndpointConfigName=plan().version)
    with pytest.raises(RemoteError):
        bring_up(aws, plan())
    sagemaker.create_ends = "InService"
    assert bring_up(aws, plan()) == "answers"


def test_a_way_back_that_fails_deletes_nothing_that_is_live(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan())
    better = plan(model="better")

    def check() -> None:
        monkeypatch.setattr(endpoint._Endpoint, "_update", lambda *_: None)
        fail()

    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, better, provide=lambda: None, check=check)
    assert sagemaker.endpoints["shop"]["config"] == better.version
    assert better.version in sagemaker.configs
    assert better.version in sagemaker.models


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
    monkeypatch.setattr("ncf.aws.session.time.monotonic", iter(range(0, 10**6, 20)).__next__)
    with pytest.raises(RemoteError, match=r"still Creating after 60 s.*endpoint_wait_time"):
        bring_up(aws, short := plan(endpoint_wait_time=60, startup_timeout=60, bake_time=0))
    assert list(sagemaker.models) == list(sagemaker.configs) == [short.version], "they are in use"


def test_leaving_says_how_to_remove_the_endpoint(
    aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        deploy(aws, plan(), provide=lambda: None, check=leave)
    assert "delete-endpoint --endpoint-name shop" in caplog.text
    assert "shop" in sagemaker.endpoints


def last_update(sagemaker: FakeSageMaker) -> dict[str, Any]:
    return [request for operation, request in sagemaker.calls if operation == "UpdateEndpoint"][-1]


@pytest.mark.parametrize(
    ("settings", "routing"),
    [
        ({}, {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300}),
        (
            {"traffic_shift": "canary", "bake_time": 120},
            {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 120,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            },
        ),
        (
            {"traffic_shift": "linear", "shift_percent": 25},
            {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 300,
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
            },
        ),
    ],
)
def test_an_update_shifts_traffic_under_alarms(
    settings: dict[str, Any], routing: dict[str, Any], aws: Aws, sagemaker: FakeSageMaker
) -> None:
    bring_up(aws, plan())
    assert sagemaker.alarms == {}, "there is nothing to go back to yet"
    sagemaker.alarms["theirs"] = {"AlarmName": "theirs", "StateValue": "OK"}
    bring_up(aws, plan(model="better", alarms="theirs", max_latency=50, termination_wait=30, **settings))
    deployment = last_update(sagemaker)["DeploymentConfig"]
    assert deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"] == routing
    assert deployment["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] == 30
    names = [alarm["AlarmName"] for alarm in deployment["AutoRollbackConfiguration"]["Alarms"]]
    assert names == ["theirs", "shop-errors", "shop-latency"]
    assert sagemaker.alarms["shop-errors"]["MetricName"] == "Invocation5XXErrors"
    assert sagemaker.alarms["shop-latency"]["Threshold"] == 50_000


def test_without_alarms_none_are_made(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    bring_up(aws, plan(model="better", alarm_on_errors=False))
    assert "AutoRollbackConfiguration" not in last_update(sagemaker)["DeploymentConfig"]
    assert sagemaker.alarms == {}


@pytest.mark.parametrize(
    ("alarms", "words"),
    [({}, "no CloudWatch alarm theirs"), ({"theirs": "ALARM"}, "theirs: too hot.*alarm_on_errors")],
)
def test_an_alarm_that_is_missing_or_fires_before_the_update_is_named(
    alarms: dict[str, str], words: str, aws: Aws, sagemaker: FakeSageMaker
) -> None:
    bring_up(aws, plan())
    for name, state in alarms.items():
        sagemaker.alarms[name] = {"AlarmName": name, "StateValue": state, "StateReason": "too hot"}
    with pytest.raises(RemoteError, match=words):
        bring_up(aws, plan(model="better", alarms="theirs"))
    assert "UpdateEndpoint" not in sagemaker.operations()
    assert list(sagemaker.models) == [plan().version]


def test_a_rolled_back_update_names_the_alarm(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    sagemaker.update_ends = "RolledBack"

    def fire(**_: Any) -> dict[str, Any]:
        sagemaker.alarms["shop-errors"] |= {"StateValue": "ALARM", "StateReason": "3 answers were 5xx"}
        return update(**_)

    update, sagemaker.UpdateEndpoint = sagemaker.UpdateEndpoint, fire  # type: ignore[method-assign]
    with pytest.raises(RemoteError, match="rolled back.*shop-errors: 3 answers were 5xx") as caught:
        bring_up(aws, plan(model="worse"))
    assert "# [shop](https://" in caught.value.report
    assert "shop-errors: 3 answers were 5xx" in caught.value.report


def test_the_number_of_instances_stays_where_it_is_scaled(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan(max_instance_count=4, invocations_per_instance=500))
    resource = f"endpoint/shop/variant/{VARIANT}"
    assert sagemaker.scalable[resource]["target"]["MinCapacity"] == 1
    assert sagemaker.scalable[resource]["target"]["MaxCapacity"] == 4
    policy = sagemaker.scalable[resource]["policy"]["TargetTrackingScalingPolicyConfiguration"]
    assert policy["TargetValue"] == 500.0
    bring_up(aws, plan(model="better"))
    assert last_update(sagemaker)["RetainAllVariantProperties"] is True
    sagemaker.scalable.clear()
    bring_up(aws, plan(model="best"))
    assert last_update(sagemaker)["RetainAllVariantProperties"] is False


def test_a_serverless_endpoint_takes_an_archive_and_no_instances(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked = plan(serverless_memory=2048, serverless_concurrency=5, network_isolation=False, s3_prefix="s3://b/x")
    bring_up(aws, asked)
    assert sagemaker.models[asked.version]["PrimaryContainer"] == {"Image": IMAGE, "ModelDataUrl": "s3://b/model"}
    assert sagemaker.configs[asked.version]["ProductionVariants"] == [
        {
            "VariantName": VARIANT,
            "ModelName": asked.version,
            "InitialVariantWeight": 1.0,
            "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
        }
    ]


def test_requests_are_captured_where_that_is_asked_for(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked = plan(data_capture_s3_uri="s3://b/captured/", data_capture_percent=20)
    bring_up(aws, asked)
    assert sagemaker.configs[asked.version]["DataCaptureConfig"] == {
        "EnableCapture": True,
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://b/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }


def test_the_last_versions_are_kept(aws: Aws, sagemaker: FakeSageMaker) -> None:
    other = plan(endpoint_name="shop-other")
    bring_up(aws, other)
    made = [plan(model=str(number), keep_versions=2) for number in range(4)]
    for asked in made:
        bring_up(aws, asked)
    assert list(sagemaker.configs) == list(sagemaker.models) == [other.version, made[2].version, made[3].version]


def test_versions_that_cannot_be_deleted_do_not_fail_the_deployment(
    aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    bring_up(aws, plan())
    sagemaker.refusals["ListEndpointConfigs"] = RefusalError("AccessDeniedException", "not allowed")
    assert bring_up(aws, plan(model="better", keep_versions=1)) == "answers"
    assert "old versions are not deleted" in caplog.text


def test_how_to_get_there_is_no_part_of_a_version() -> None:
    how = {"traffic_shift": "canary", "bake_time": 5, "keep_versions": 9, "alarms": "x", "max_instance_count": 3}
    assert plan(**how).version == plan().version


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
