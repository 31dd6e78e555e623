"""Pods register models and cannot approve them; people with the operators' policy can."""

from __future__ import annotations

from typing import Any

import pytest
from iam import ACCOUNT, STACK, Policy

from components.cluster.permissions import template

STATUS, NAMESPACE = "sagemaker:ModelApprovalStatus", "aws:ResourceTag/ncf:namespace"
ARN = "arn:aws:sagemaker:us-east-1:123456789012"
GROUP, PACKAGE = f"{ARN}:model-package-group/ncf", f"{ARN}:model-package/ncf/3"
CREATE, UPDATE = "sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"
STATUSES = ("Approved", "Rejected", "PendingManualApproval")


def pods(*conditions: str) -> Policy:
    document = template()["Resources"]["PodRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    return Policy(document, {**ACCOUNT, **STACK}, conditions)


def operators() -> Policy:
    document = template()["Resources"]["OperatorPolicy"]["Properties"]["PolicyDocument"]
    return Policy(document, {**ACCOUNT, **STACK})


def creates(policy: Policy, status: str, namespace: str = "team-a") -> bool:
    """Whether a package may be created in the group of a namespace."""
    keys: Any = {STATUS: status} if status else {}
    return policy.allows(CREATE, GROUP, {**keys, NAMESPACE: namespace}) and policy.allows(CREATE, PACKAGE, keys)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("conditions", [(), ("HasReleaseAtOnce",)])
def test_pods_cannot_change_a_package(status: str, conditions: tuple[str, ...]) -> None:
    """Neither its status nor its image, its model or its properties: not all of them have condition keys."""
    assert not pods(*conditions).allows(UPDATE, PACKAGE, {STATUS: status})
    assert not pods(*conditions).allows(UPDATE, PACKAGE)


def test_pods_register_as_approved_only_if_the_stack_releases_at_once() -> None:
    assert [creates(pods(), status) for status in STATUSES] == [False, True, True]
    assert [creates(pods("HasReleaseAtOnce"), status) for status in STATUSES] == [True, True, True]
    assert not creates(pods("HasReleaseAtOnce"), ""), "a package without a status"
    assert template()["Conditions"]["HasReleaseAtOnce"] == {"Fn::Equals": [{"Ref": "ReleaseAtOnce"}, "true"]}
    assert template()["Parameters"]["ReleaseAtOnce"]["Default"] == "true"


def test_pods_register_in_groups_of_their_namespace_and_prefix_alone() -> None:
    assert not creates(pods("HasReleaseAtOnce"), "PendingManualApproval", "team-b")
    other: Any = {STATUS: "Rejected", NAMESPACE: "team-a"}
    for resource in (GROUP, PACKAGE):
        assert not pods().allows(CREATE, resource.replace("ncf", "other"), other)
        assert not pods().allows(UPDATE, resource.replace("ncf", "other"))


@pytest.mark.parametrize("status", STATUSES)
def test_operators_decide(status: str) -> None:
    assert operators().allows(UPDATE, PACKAGE, {STATUS: status})
    assert not operators().allows(UPDATE, PACKAGE.replace("ncf", "other"), {STATUS: status})
