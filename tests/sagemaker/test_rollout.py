"""Rollouts: traffic shifting, alarms before and during an update, autoscaling."""

from __future__ import annotations

from typing import Any

import pytest
from deployments import bring_up, fail, last_update, plan
from fake_sagemaker import FakeSageMaker

from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting.deployment import deploy


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


def test_a_serverless_endpoint_has_no_guardrails(aws: Aws, sagemaker: FakeSageMaker) -> None:
    serverless = {"serverless_memory": 2048, "network_isolation": False, "s3_prefix": "s3://b/ncf"}
    bring_up(aws, plan(**serverless))
    bring_up(aws, plan(model="better", **serverless))
    assert last_update(sagemaker).keys() == {"EndpointName", "EndpointConfigName"}
    assert sagemaker.alarms == {}
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model="worse", **serverless), upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plan(model="better", **serverless).version
    assert "DeploymentConfig" not in last_update(sagemaker), "nor has the rollback"


def test_instances_do_not_become_serverless(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan())
    with pytest.raises(InputError, match=r"shop has instances.*'serverless_memory'"):
        bring_up(aws, plan(serverless_memory=2048, network_isolation=False, s3_prefix="s3://b/ncf"))
    assert "UpdateEndpoint" not in sagemaker.operations()
