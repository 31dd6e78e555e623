"""Eventual consistency: what was just made may not be found yet, and a description may be of before."""

from __future__ import annotations

from typing import Any

import pytest
from deployments import bring_up, fail, plan
from fake_sagemaker import FakeSageMaker, RefusalError

from ncf.aws import session
from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting.deployment import deploy
from ncf.sagemaker.hosting.smoke_test import SmokeTest

MISSING = {
    "CreateEndpointConfig": 'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/shop-1".',
    "CreateEndpoint": 'Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/1".',
    "UpdateEndpoint": 'Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/1".',
    "DescribeEndpointConfig": 'Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:e/1".',
}


@pytest.fixture
def late(sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an operation miss what was just made, a number of times."""
    monkeypatch.setattr(session, "CONSISTENCY_SECONDS", 30.0)

    def make(operation: str, times: int = 3) -> None:
        answer, left = getattr(sagemaker, operation), [times]

        def refuse(**request: Any) -> Any:
            left[0] -= 1
            if left[0] >= 0:
                raise RefusalError("ValidationException", MISSING[operation])
            return answer(**request)

        monkeypatch.setattr(sagemaker, operation, refuse)

    return make


@pytest.mark.parametrize("operation", ["CreateEndpointConfig", "CreateEndpoint"])
def test_a_new_endpoint_waits_for_its_parts(operation: str, aws: Aws, sagemaker: FakeSageMaker, late: Any) -> None:
    late(operation)
    assert bring_up(aws, plan()) == "answers"
    assert sagemaker.operations().count(operation) == 4


@pytest.mark.parametrize("operation", ["CreateEndpointConfig", "DescribeEndpointConfig", "UpdateEndpoint"])
def test_an_update_waits_for_its_parts(operation: str, aws: Aws, sagemaker: FakeSageMaker, late: Any) -> None:
    bring_up(aws, plan())
    late(operation)
    assert bring_up(aws, plan(model="better")) == "answers"
    assert sagemaker.endpoints["shop"]["config"] == plan(model="better").version


def test_patience_ends(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.refusals["CreateEndpoint"] = RefusalError("ValidationException", MISSING["CreateEndpoint"])
    with pytest.raises(InputError, match="Could not find endpoint configuration"):
        bring_up(aws, plan())
    assert sagemaker.operations().count("CreateEndpoint") > 1
    assert sagemaker.models == sagemaker.configs == {}


@pytest.fixture
def stale(sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Descriptions after each change are of before, at the first and the third look. The list names the changes."""
    monkeypatch.setattr(session, "CONSISTENCY_SECONDS", 30.0)
    describe, looks, changes = sagemaker.DescribeEndpoint, [0], list[str]()
    before: list[Any] = [None]

    def changed(operation: str) -> Any:
        change = getattr(sagemaker, operation)

        def make(**request: Any) -> Any:
            known = "shop" in sagemaker.endpoints
            before[0] = describe("shop") if known else RefusalError("ValidationException", "Could not find endpoint")
            looks[0] = 0
            changes.append(operation)
            return change(**request)

        return make

    def look(EndpointName: str) -> Any:  # noqa: N803
        looks[0] += 1
        if changes and looks[0] in (1, 3):
            if isinstance(before[0], Exception):
                raise before[0]
            return before[0]
        return describe(EndpointName)

    for operation in ("CreateEndpoint", "UpdateEndpoint"):
        monkeypatch.setattr(sagemaker, operation, changed(operation))
    monkeypatch.setattr(sagemaker, "DescribeEndpoint", look)
    return changes


def test_stale_descriptions_are_not_believed(aws: Aws, sagemaker: FakeSageMaker, stale: list[str]) -> None:
    assert bring_up(aws, plan()) == "answers"
    assert bring_up(aws, plan(model="better")) == "answers"
    assert sagemaker.endpoints["shop"]["config"] == plan(model="better").version
    assert stale == ["CreateEndpoint", "UpdateEndpoint"]


def test_a_stale_description_hides_no_bad_model(aws: Aws, sagemaker: FakeSageMaker, stale: list[str]) -> None:
    bring_up(aws, plan())
    with pytest.raises(RemoteError, match="wrong items"):
        deploy(aws, plan(model="worse"), upload=lambda: None, check=fail)
    assert sagemaker.endpoints["shop"]["config"] == plan().version
    assert stale == ["CreateEndpoint", "UpdateEndpoint", "UpdateEndpoint"]


def test_an_update_that_changes_nothing_is_believed_in_the_end(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(aws, plan())
    monkeypatch.setattr(
        sagemaker, "UpdateEndpoint", lambda **_: {"EndpointArn": "arn:aws:sagemaker:us:1:endpoint/shop"}
    )
    with pytest.raises(RemoteError, match="the previous model is in service"):
        bring_up(aws, plan(model="better"))


def test_a_new_endpoint_that_the_runtime_does_not_know_yet_is_waited_for(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = SmokeTest("1", ["u"], {"u": set()}, n_items=1)
    content = {"user": "u", "source": "model", "items": [{"item": "i"}]}
    sagemaker.answer = lambda _: {"model_version": "1", "recommendations": [content]}
    invoke, refusals = sagemaker.InvokeEndpoint, [1, 2]

    def refuse_first(**request: Any) -> dict[str, Any]:
        if refusals:
            refusals.pop()
            raise RefusalError("ValidationError", "Endpoint shop of account 123456789012 not found.")
        return invoke(**request)

    monkeypatch.setattr(session, "CONSISTENCY_SECONDS", 30.0)
    monkeypatch.setattr(sagemaker, "InvokeEndpoint", refuse_first)
    test.run(aws, "shop")
    assert sagemaker.operations().count("InvokeEndpoint") == 3
