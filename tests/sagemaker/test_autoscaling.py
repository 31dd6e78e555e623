"""Autoscaling: kept by updates, deregistered for another instance type, and registered again, whatever happens."""

from __future__ import annotations

from typing import Any

import pytest
from deployments import bring_up, fail, last_update, plan
from fake_sagemaker import FakeSageMaker, RefusalError

from ncf.aws.names import SCALING_TAG, VARIANT
from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.deployment import deploy
from ncf.sagemaker.hosting.endpoint import Endpoint

RESOURCE = f"endpoint/shop/variant/{VARIANT}"
SCALED: dict[str, Any] = {"max_instance_count": 4, "invocations_per_instance": 500}
LARGER: dict[str, Any] = {"model": "better", "endpoint_instance_type": "ml.m5.xlarge"}


def limits(sagemaker: FakeSageMaker) -> tuple[int, int, float] | None:
    """Minimum, maximum and target of the autoscaling; None if it is not registered."""
    if not (found := sagemaker.scalable.get(RESOURCE)):
        return None
    target, policy = found["target"], found["policy"]["TargetTrackingScalingPolicyConfiguration"]
    return target["MinCapacity"], target["MaxCapacity"], policy["TargetValue"]


def tag(sagemaker: FakeSageMaker) -> str:
    (tags,) = (tags for arn, tags in sagemaker.tags.items() if ":endpoint/" in arn)
    return tags.get(SCALING_TAG, "")


def test_the_number_of_instances_stays_where_it_is_scaled(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan(**SCALED))
    assert limits(sagemaker) == (1, 4, 500.0)
    bring_up(aws, plan(model="better", **SCALED))
    assert last_update(sagemaker)["RetainAllVariantProperties"] is True
    overridden = last_update(sagemaker)["ExcludeRetainedVariantProperties"]
    assert overridden == [{"VariantPropertyType": "DataCaptureConfig"}], "the capture is the new config's"
    assert "DeregisterScalableTarget" not in sagemaker.operations()
    sagemaker.scalable.clear()
    bring_up(aws, plan(model="best", **SCALED))
    assert "RetainAllVariantProperties" not in last_update(sagemaker)


def test_no_maximum_deregisters_the_autoscaling(aws: Aws, sagemaker: FakeSageMaker, caplog: Any) -> None:
    caplog.set_level("INFO")
    bring_up(aws, plan(**SCALED))
    bring_up(aws, plan(model="better"))
    assert "RetainAllVariantProperties" not in last_update(sagemaker), "the number is the config's"
    assert limits(sagemaker) is None
    assert "autoscaling is deregistered, as 'max_instance_count' is 0" in caplog.text


def test_an_update_to_another_instance_type_registers_the_autoscaling_again(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan(**SCALED))
    bring_up(aws, plan(**LARGER, max_instance_count=6))
    assert sagemaker.endpoints["shop"]["config"] == plan(**LARGER).version
    assert last_update(sagemaker)["RetainAllVariantProperties"] is True, "one instance may not be enough"
    assert limits(sagemaker) == (1, 6, 1000.0)
    assert tag(sagemaker) == ""


@pytest.mark.parametrize("how", ["rolled back", "refused", "failed the check"])
def test_a_failed_update_leaves_the_autoscaling_as_before(how: str, aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan(**SCALED))
    larger = plan(**LARGER, max_instance_count=6)
    if how == "rolled back":
        sagemaker.update_ends = "RolledBack"
    if how == "refused":
        sagemaker.refusals["UpdateEndpoint"] = RefusalError("ResourceLimitExceeded", "ml.m5.xlarge for endpoint usage")
    with pytest.raises(RemoteError):
        deploy(aws, larger, upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert limits(sagemaker) == (1, 4, 500.0)
    assert tag(sagemaker) == ""


def kill(*_: Any, **__: Any) -> None:
    raise SystemExit(137)


@pytest.mark.parametrize("when", ["before the update", "during the update"])
@pytest.mark.parametrize("is_good", [True, False])
def test_a_retry_of_a_killed_pod_registers_the_autoscaling_again(
    when: str, is_good: bool, aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan(**SCALED))
    larger = plan(**LARGER, max_instance_count=6)
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        if when == "before the update":
            patched.setattr(sagemaker, "UpdateEndpoint", kill)
        else:
            patched.setattr(Endpoint, "settled", dying_after_update(sagemaker))
        bring_up(aws, larger)
    assert limits(sagemaker) is None
    assert tag(sagemaker) == "min=1 max=4 invocations=500"
    if is_good:
        bring_up(aws, larger)
        assert limits(sagemaker) == (1, 6, 1000.0)
    else:
        with pytest.raises(RemoteError, match="wrong items"):
            deploy(aws, larger, upload=lambda: None, check=fail)
        assert limits(sagemaker) == (1, 4, 500.0)
    assert sagemaker.endpoints["shop"]["config"] == (larger if is_good else plan()).version
    assert tag(sagemaker) == ""


def dying_after_update(sagemaker: FakeSageMaker) -> Any:
    """``Endpoint.settled`` of a process that is killed as soon as an update runs."""
    settled = Endpoint.settled

    def wait(self: Endpoint, *arguments: Any, **more: Any) -> Any:
        if sagemaker.endpoints["shop"]["status"] == "Updating":
            kill()
        return settled(self, *arguments, **more)

    return wait


@pytest.mark.parametrize("ends", ["InService", "RolledBack"])
def test_a_rollback_to_another_instance_type_keeps_the_autoscaling(
    ends: str, aws: Aws, sagemaker: FakeSageMaker
) -> None:
    bring_up(aws, plan(**SCALED))
    bring_up(aws, plan(**LARGER, max_instance_count=6))
    sagemaker.update_ends = ends
    if ends == "InService":
        Endpoint(aws, "shop").roll_back(60)
    else:
        with pytest.raises(RemoteError, match="Alarm fired"):
            Endpoint(aws, "shop").roll_back(60)
    expected = plan() if ends == "InService" else plan(**LARGER)
    assert sagemaker.endpoints["shop"]["config"] == expected.version
    assert last_update(sagemaker)["RetainAllVariantProperties"] is True
    assert limits(sagemaker) == (1, 6, 1000.0)


def test_a_killed_rollback_is_followed_by_one_that_registers_again(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan(**SCALED))
    bring_up(aws, plan(model="good", **SCALED))
    bring_up(aws, plan(**LARGER, max_instance_count=6))
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Endpoint, "settled", dying_after_update(sagemaker))
        Endpoint(aws, "shop").roll_back(60)
    assert limits(sagemaker) is None
    Endpoint(aws, "shop").roll_back(60)
    assert limits(sagemaker) == (1, 6, 1000.0)


def test_a_rollback_to_burstable_instances_says_that_they_are_not_scaled(
    aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    bring_up(aws, plan(endpoint_instance_type="ml.t2.medium"))
    bring_up(aws, plan(**LARGER, max_instance_count=6))
    Endpoint(aws, "shop").roll_back(60)
    assert limits(sagemaker) is None
    assert "autoscaling (1 to 6 instances) is not registered again" in caplog.text


def test_policies_of_others_are_put_again(aws: Aws, sagemaker: FakeSageMaker) -> None:
    bring_up(aws, plan(**SCALED))
    metric = {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}
    theirs = {"TargetValue": 5.0, "PredefinedMetricSpecification": metric}
    sagemaker.scalable[RESOURCE]["policy"] |= {
        "PolicyName": "theirs",
        "TargetTrackingScalingPolicyConfiguration": theirs,
    }
    sagemaker.scalable[RESOURCE]["target"]["SuspendedState"] = {"DynamicScalingInSuspended": True}
    sagemaker.update_ends = "RolledBack"
    with pytest.raises(RemoteError, match="rolled back"):
        bring_up(aws, plan(**LARGER, **SCALED))
    assert sagemaker.scalable[RESOURCE]["policy"]["TargetTrackingScalingPolicyConfiguration"] == theirs
    assert sagemaker.scalable[RESOURCE]["target"]["SuspendedState"] == {"DynamicScalingInSuspended": True}


def test_a_bad_model_is_undone_although_autoscaling_changes_the_endpoint(aws: Aws, sagemaker: FakeSageMaker) -> None:
    """Autoscaling has begun to add instances: the endpoint is Updating, and refuses other updates."""
    bring_up(aws, plan(**SCALED))

    def check() -> None:
        sagemaker.endpoints["shop"]["status"] = "Updating"
        sagemaker._pending["shop"] = 5
        fail()

    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model="worse", **SCALED), upload=lambda: None, check=check)
    assert sagemaker.endpoints["shop"]["config"] == plan(**SCALED).version


def test_a_rollback_waits_for_autoscaling(aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_up(aws, plan(**SCALED))
    bring_up(aws, plan(model="better", **SCALED))
    update, refusals = sagemaker.UpdateEndpoint, [1, 2]

    def refuse_first(**request: Any) -> dict[str, Any]:
        if refusals:
            refusals.pop()
            raise RefusalError("ValidationException", 'Cannot update in-progress endpoint "arn".')
        return update(**request)

    monkeypatch.setattr(sagemaker, "UpdateEndpoint", refuse_first)
    Endpoint(aws, "shop").roll_back(60)
    assert sagemaker.endpoints["shop"]["config"] == plan(**SCALED).version
