"""Rollouts: traffic shifting, alarms before and during an update, autoscaling."""

from __future__ import annotations

from typing import Any

import pytest
from deployments import bring_up, last_update, plan
from fake_sagemaker import FakeSageMaker

from ncf.aws.names import VARIANT
from ncf.aws.session import Aws
from ncf.errors import RemoteError


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
