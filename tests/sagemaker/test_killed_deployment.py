"""A pod of deploy that is killed after each of its changes in turn, and tried again."""

from __future__ import annotations

from typing import Any

import pytest
from deployments import bring_up, fail, plan
from fake_sagemaker import FakeSageMaker

from ncf.aws.names import VARIANT
from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.deployment import deploy
from ncf.sagemaker.hosting.endpoint import Endpoint
from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan

_READS = ("describe_", "list_", "get_", "invoke_")


class KilledError(BaseException):
    """The end of a process by SIGKILL: nothing handles it."""


def state(sagemaker: FakeSageMaker, endpoint: str) -> dict[str, Any]:
    """What is there of an endpoint."""
    scalable = sagemaker.scalable.get(f"endpoint/{endpoint}/variant/{VARIANT}", {})
    described = sagemaker.endpoints.get(endpoint, {})
    (tags,) = [tags for arn, tags in sagemaker.tags.items() if arn.endswith(f":endpoint/{endpoint}")] or [{}]
    return {
        "config": described.get("config"),
        "previous": versions.previous_of(tags, described.get("config", ""))[:1],
        "versions": [[name for name in made if endpoint in name] for made in (sagemaker.models, sagemaker.configs)],
        "limits": [scalable.get("target", {}).get(limit) for limit in ("MinCapacity", "MaxCapacity")],
        "target": scalable.get("policy", {}).get("TargetTrackingScalingPolicyConfiguration", {}).get("TargetValue"),
        "noted": tags.get("ncf:autoscaling", ""),
    }


def is_killed(aws: Aws, asked: EndpointPlan, after: int, is_good: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Deploy in a process that is killed after a number of changes; False if it makes fewer."""
    call, changes = Aws.call, []

    def dying(self: Aws, service: str, operation: str, *given: Any, **request: Any) -> dict[str, Any]:
        answer = call(self, service, operation, *given, **request)
        if not operation.startswith(_READS):
            changes.append(operation)
            if len(changes) == after:
                raise KilledError(operation)
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(Aws, "call", dying)
        try:
            deploy(aws, asked, upload=lambda: None, check=lambda: None if is_good else fail())
        except KilledError:
            return True
        except RemoteError:
            pass
    return False


@pytest.mark.parametrize("ends", ["InService", "RolledBack", "fails the check"])
def test_the_retry_of_an_update_ends_as_one_that_was_not_killed(
    ends: str, aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_good, rollout = ends == "InService", "RolledBack" if ends == "RolledBack" else "InService"
    for after in range(1, 50):
        endpoint = f"shop-{after}"
        live = {"endpoint_name": endpoint, "max_instance_count": 4, "invocations_per_instance": 500}
        asked = plan("3", "c", endpoint_name=endpoint, endpoint_instance_type="ml.m5.xlarge", max_instance_count=6)
        bring_up(aws, plan("1", "a", **live))
        bring_up(aws, plan("2", "b", **live))
        before = state(sagemaker, endpoint)
        sagemaker.update_ends = rollout
        if not is_killed(aws, asked, after, is_good, monkeypatch):
            break
        if not is_good:
            sagemaker.update_ends = rollout
            with pytest.raises(RemoteError, match="wrong items|rolled back"):
                deploy(aws, asked, upload=lambda: None, check=fail)
            assert state(sagemaker, endpoint) == before, f"after change {after}"
        else:
            bring_up(aws, asked)
            changed = {"config": asked.version, "previous": [before["config"]], "limits": [1, 6], "target": 1000.0}
            made = [[*names, asked.version] for names in before["versions"]]
            assert state(sagemaker, endpoint) == {**before, **changed, "versions": made}, f"after change {after}"
        sagemaker.update_ends = "InService"
    assert after > 8


@pytest.mark.parametrize("is_good", [True, False])
def test_the_retry_of_a_creation_ends_as_one_that_was_not_killed(
    is_good: bool, aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for after in range(1, 50):
        asked = plan(endpoint_name=f"shop-{after}", max_instance_count=6)
        if not is_killed(aws, asked, after, is_good, monkeypatch):
            break
        if is_good:
            bring_up(aws, asked)
            kept = state(sagemaker, asked.name)
            assert (kept["config"], kept["limits"], kept["target"]) == (asked.version, [1, 6], 1000.0)
        else:
            with pytest.raises(RemoteError, match="wrong items"):
                deploy(aws, asked, upload=lambda: None, check=fail)
            assert asked.name not in sagemaker.endpoints
            assert state(sagemaker, asked.name)["versions"] == [[], []]
    assert after > 4


def test_a_rollback_after_a_retry_skips_the_model_that_an_earlier_one_has_taken_back(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [plan(run, model) for run, model in (("1", "a"), ("2", "withdrawn"), ("3", "c"), ("4", "bad"))]
    bring_up(aws, plans[0])
    bring_up(aws, plans[1])
    assert Endpoint(aws, "shop").roll_back(60).after == plans[0].version
    bring_up(aws, plans[2])
    update = "the fourth change: after model, config and tag"
    assert is_killed(aws, plans[3], 4, False, monkeypatch), update
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plans[3], upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plans[2].version
    assert Endpoint(aws, "shop").roll_back(60).after == plans[0].version
