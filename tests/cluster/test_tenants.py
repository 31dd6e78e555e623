"""Pods of a namespace reach the resources of their own namespace, although others in the account have like names."""

from __future__ import annotations

from typing import Any

import pytest
from iam import ACCOUNT, STACK, Policy

from components.cluster.permissions import template
from ncf.aws.permissions import NOT_BY_NAMESPACE

RESOURCE, REQUEST = "aws:ResourceTag/ncf:namespace", "aws:RequestTag/ncf:namespace"
MAKERS = ("CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint", "CreateModelPackageGroup")
FINDERS = ("DescribeTrainingJob", "DescribeModel", "DescribeEndpointConfig", "DescribeEndpoint", "ListTags")
HASH = "0123456789abcdef"
PENDING = {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}


def policy(role: str, **parameters: str) -> Policy:
    document = template()["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]
    return Policy(document, {**ACCOUNT, **STACK, **parameters})


@pytest.fixture(scope="module")
def pods() -> Policy:
    return policy("PodRole")


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:123456789012:{kind}/{name}"


JOB, ENDPOINT = arn("training-job", f"ncf-train-{HASH}"), arn("endpoint", "ncf-shop")
CONFIG, MODEL = arn("endpoint-config", f"ncf-shop-{HASH}"), arn("model", f"ncf-shop-{HASH}")


def named(pattern: str) -> str:
    """The ARN of a resource that a pattern matches."""
    return pattern.replace("*", HASH)


def bound(policy: Policy) -> list[tuple[str, str]]:
    """Actions that tags bind, each with a resource whose name its patterns match."""
    actions = {action for action in policy.actions() if action.split(":")[0] in ("sagemaker", "cloudwatch")}
    return [
        (action, named(pattern))
        for action in sorted(actions - NOT_BY_NAMESPACE.keys())
        for pattern in sorted(policy.resources(action))
        if ":alarm:TargetTracking-" not in pattern  # of autoscaling, which gives its alarms no tags
    ]


def test_nothing_of_another_namespace_is_reached_whatever_its_name(pods: Policy) -> None:
    cases = bound(pods)
    assert {action for action, _ in cases} > {"sagemaker:StopTrainingJob", "sagemaker:DeleteEndpoint"}
    for request in ("team-a", "team-b"):
        of_another: Any = {RESOURCE: "team-b", REQUEST: request, "aws:TagKeys": ["ncf:run"], **PENDING}
        assert [case for case in cases if pods.allows(*case, of_another)] == []


def test_all_of_the_own_namespace_is_reached(pods: Policy) -> None:
    own: Any = {RESOURCE: "team-a", REQUEST: "team-a", "aws:TagKeys": ["ncf:run"], **PENDING}
    assert [case for case in bound(pods) if not pods.allows(*case, own)] == []


@pytest.mark.parametrize("maker", MAKERS)
def test_what_is_created_bears_the_namespace(pods: Policy, maker: str) -> None:
    action = f"sagemaker:{maker}"
    for pattern in pods.resources(action):
        assert pods.allows(action, named(pattern), {REQUEST: "team-a"})
        assert not pods.allows(action, named(pattern), {REQUEST: "team-b"})
        assert not pods.allows(action, named(pattern))


@pytest.mark.parametrize("finder", FINDERS)
def test_a_missing_resource_looks_missing_not_denied(pods: Policy, finder: str) -> None:
    action = f"sagemaker:{finder}"
    for pattern in pods.resources(action):
        assert pods.allows(action, named(pattern)), "SageMaker answers that there is none"


@pytest.mark.parametrize("action", ["UpdateEndpoint", "InvokeEndpoint", "UpdateEndpointWeightsAndCapacities"])
def test_an_endpoint_without_a_namespace_is_not_changed(pods: Policy, action: str) -> None:
    assert not pods.allows(f"sagemaker:{action}", ENDPOINT)


def test_resources_do_not_change_their_namespace(pods: Policy) -> None:
    own: Any = {RESOURCE: "team-a", "aws:TagKeys": ["ncf:namespace"]}
    assert not pods.allows("sagemaker:DeleteTags", JOB, own)
    assert not pods.allows("sagemaker:AddTags", JOB, {**own, REQUEST: "team-b"})
    assert pods.allows("sagemaker:AddTags", JOB, {RESOURCE: "team-a", "aws:TagKeys": ["ncf:left"]})


@pytest.mark.parametrize(
    ("parameters", "action", "resource"),
    [
        ({"JobPrefix": "team-a"}, "sagemaker:StopTrainingJob", JOB),
        ({"EndpointPrefix": "team-a"}, "sagemaker:DeleteEndpoint", ENDPOINT),
        ({"EndpointPrefix": "team-a"}, "sagemaker:DeleteModel", MODEL),
        ({"EndpointPrefix": "team-a"}, "sagemaker:DeleteEndpointConfig", CONFIG),
        ({}, "sagemaker:StopTrainingJob", arn("training-job", "ncf-training")),
    ],
)
def test_other_names_are_not_reached(parameters: dict[str, str], action: str, resource: str) -> None:
    assert not policy("PodRole", **parameters).allows(action, resource, {RESOURCE: "team-a"})


@pytest.mark.parametrize("role", ["PodRole", "TrainingRole", "HostingRole"])
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
def test_objects_of_another_namespace_are_not_reached(role: str, action: str) -> None:
    assert not policy(role).allows(action, "arn:aws:s3:::runs/kfp/team-b/x")
    assert not policy(role).allows(action, "arn:aws:s3:::runs/kfp/team-ab/x")


def test_only_the_own_folder_of_the_bucket_is_listed(pods: Policy) -> None:
    bucket = "arn:aws:s3:::runs"
    assert pods.allows("s3:ListBucket", bucket, {"s3:prefix": "kfp/team-a/run"})
    assert not pods.allows("s3:ListBucket", bucket, {"s3:prefix": "kfp/team-b/run"})
    assert not pods.allows("s3:ListBucket", bucket)


def test_raw_data_are_read_where_they_lie_and_nothing_beside_them() -> None:
    document = template()["Resources"]["PodRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    stack = {**ACCOUNT, **STACK, "DataBucket": "runs", "DataPrefix": "ratings"}
    pods = Policy(document, stack, ["HasDataBucket"])
    assert pods.allows("s3:GetObject", "arn:aws:s3:::runs/ratings.csv")
    assert pods.allows("s3:ListBucket", "arn:aws:s3:::runs", {"s3:prefix": "ratings.csv"})
    assert not pods.allows("s3:GetObject", "arn:aws:s3:::runs/kfp/team-b/x")
    assert not pods.allows("s3:PutObject", "arn:aws:s3:::runs/ratings.csv")
    assert not pods.allows("s3:ListBucket", "arn:aws:s3:::runs", {"s3:prefix": "kfp/team-b/"})


def test_operators_read_raw_data_as_ncf_verify_does() -> None:
    document = template()["Resources"]["OperatorPolicy"]["Properties"]["PolicyDocument"]
    stack = {**ACCOUNT, **STACK, "DataBucket": "data", "DataPrefix": "ratings"}
    operators = Policy(document, stack, ["HasDataBucket"])
    assert operators.allows("s3:GetObject", "arn:aws:s3:::data/ratings.csv")
    assert operators.allows("s3:ListBucket", "arn:aws:s3:::data", {"s3:prefix": "ratings.csv"})
    assert not operators.allows("s3:PutObject", "arn:aws:s3:::data/ratings.csv")
    assert not Policy(document, stack).allows("s3:GetObject", "arn:aws:s3:::data/ratings.csv")


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        (f"kfp/team-a/ncf/run/checkpoints/ncf-train-{HASH}/latest", True),
        (f"kfp/team-a/ncf-train-{HASH}/latest", True),
        ("kfp/team-a/ncf/run/train/trained_model/weights", False),
        (f"kfp/team-b/checkpoints/ncf-train-{HASH}/latest", False),
    ],
)
def test_training_deletes_its_checkpoints_alone(key: str, allowed: bool) -> None:
    assert policy("TrainingRole").allows("s3:DeleteObject", f"arn:aws:s3:::runs/{key}") == allowed


@pytest.mark.parametrize(("role", "image"), [("TrainingRole", "ncf-train"), ("HostingRole", "ncf-deploy")])
@pytest.mark.parametrize("folder", ["", "team/", "team/models/"])
def test_images_in_a_folder_of_the_registry_are_pulled(role: str, image: str, folder: str) -> None:
    repository = "arn:aws:ecr:us-east-1:123456789012:repository/"
    assert policy(role).allows("ecr:BatchGetImage", f"{repository}{folder}{image}")
    assert not policy(role).allows("ecr:BatchGetImage", f"{repository}{folder}other-{image}")


@pytest.mark.parametrize("role", ["TrainingRole", "HostingRole"])
def test_output_is_encrypted_with_the_key(role: str) -> None:
    document = template()["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]
    key = "arn:aws:kms:us-east-1:123456789012:key/x"
    assert Policy(document, {**ACCOUNT, **STACK, "KmsKeyArn": key}, ["HasKmsKeyArn"]).allows("kms:Encrypt", key)


@pytest.mark.parametrize("role", ["PodRole", "TrainingRole", "HostingRole"])
def test_the_policy_of_a_role_fits_into_iams_quota_with_long_names(role: str) -> None:
    """10,240 characters: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
    document = template()["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]
    long = dict.fromkeys((*template()["Parameters"], "TrainingRole.Arn", "HostingRole.Arn"), "x" * 25)
    arns = {name: f"arn:aws:service:ap-northeast-1:123456789012:{'x' * 40}" for name in long if name.endswith("Arn")}
    region = {"AWS::Region": "ap-northeast-1"}
    assert Policy(document, {**ACCOUNT, **region, **long, **arns, "Bucket": "x" * 50}).size() <= 10_240


@pytest.mark.parametrize("name", ["JobPrefix", "EndpointPrefix", "RegistryPrefix", "Prefix", "Bucket", "Namespace"])
def test_a_stack_names_its_own_resources(name: str) -> None:
    assert "Default" not in template()["Parameters"][name]
