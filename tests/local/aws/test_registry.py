"""The Model Registry of the stand-in: what SageMaker answers, refuses and shows late."""

from __future__ import annotations

import re
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from local_jobs import ROLE, client, settle
from model_packages import GROUP_ARN, PACKAGE_ARN, package_request

from components.local.aws import LocalAws

MISSING_GROUP = rf"ValidationException.*ModelPackageGroup {GROUP_ARN}/nobody does not exist"


def versions(sagemaker: Any, group: str, **more: Any) -> list[int]:
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group, **more)
    return [entry["ModelPackageVersion"] for page in pages for entry in page["ModelPackageSummaryList"]]


def new_group(sagemaker: Any, name: str, count: int = 0, **more: Any) -> list[str]:
    sagemaker.create_model_package_group(ModelPackageGroupName=name)
    return [sagemaker.create_model_package(**package_request(name, **more))["ModelPackageArn"] for _ in range(count)]


def test_versions_count_from_one_and_are_never_used_again(sagemaker: Any) -> None:
    arns = new_group(sagemaker, "Counted", 2)
    assert arns == [f"{PACKAGE_ARN}/counted/1", f"{PACKAGE_ARN}/counted/2"]
    sagemaker.delete_model_package(ModelPackageName=arns[1])
    again = sagemaker.create_model_package(**package_request("Counted"))["ModelPackageArn"]
    assert again == f"{PACKAGE_ARN}/counted/3"
    described = sagemaker.describe_model_package(ModelPackageName="Counted/3")
    assert (described["ModelPackageGroupName"], described["ModelPackageVersion"]) == ("Counted", 3)
    assert described["ModelPackageStatus"] == "Completed"
    assert versions(sagemaker, "Counted") == [3, 1]
    with pytest.raises(ClientError, match=rf"ModelPackage {PACKAGE_ARN}/counted/2 does not exist"):
        sagemaker.describe_model_package(ModelPackageName=arns[1])


def test_a_client_token_makes_one_package(sagemaker: Any) -> None:
    new_group(sagemaker, "tokens")
    new_group(sagemaker, "other-tokens")
    asked = package_request("tokens", ClientToken="once")
    first, second = (sagemaker.create_model_package(**asked)["ModelPackageArn"] for _ in range(2))
    assert first == second
    assert sagemaker.create_model_package(**{**asked, "ClientToken": "twice"})["ModelPackageArn"] != first
    other = sagemaker.create_model_package(**{**asked, "ModelPackageGroupName": "other-tokens"})
    assert other["ModelPackageArn"] == f"{PACKAGE_ARN}/other-tokens/1"


def test_lists_are_filtered_sorted_and_paged(sagemaker: Any) -> None:
    arns = new_group(sagemaker, "sorted", 5)
    for arn in arns[1:3]:
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert versions(sagemaker, "sorted", SortOrder="Ascending", MaxResults=2) == [1, 2, 3, 4, 5]
    assert versions(sagemaker, "sorted", ModelApprovalStatus="Approved", MaxResults=1) == [3, 2]
    assert versions(sagemaker, f"{GROUP_ARN}/sorted", SortBy="Name", SortOrder="Descending") == [5, 4, 3, 2, 1]
    created = sagemaker.describe_model_package(ModelPackageName=arns[2])["CreationTime"]
    assert versions(sagemaker, "sorted", CreationTimeBefore=created)[0] <= 3
    entry = sagemaker.list_model_packages(ModelPackageGroupName="sorted")["ModelPackageSummaryList"][0]
    assert "ModelPackageName" not in entry, "SageMaker names only the ARN of a version"
    groups = sagemaker.list_model_package_groups(NameContains="sorted", SortBy="Name")["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupName"] for group in groups] == ["sorted"]
    assert sagemaker.list_model_packages()["ModelPackageSummaryList"] == [], "by default those without a group"


def test_properties_are_merged_and_bounded(sagemaker: Any) -> None:
    (arn,) = new_group(sagemaker, "properties", 1, CustomerMetadataProperties={"a": "1", "b": "2"})
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"b": "3", "c": "4"},
        CustomerMetadataPropertiesToRemove=["a"],
    )
    described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert described["CustomerMetadataProperties"] == {"b": "3", "c": "4"}
    assert described["ModelApprovalStatus"] == "PendingManualApproval", "as before"
    assert described["LastModifiedTime"] >= described["CreationTime"]
    assert "Arn" in described["LastModifiedBy"]["IamIdentity"]
    with pytest.raises(ClientError, match="at most 50 entries"):
        sagemaker.update_model_package(
            ModelPackageArn=arn, CustomerMetadataProperties={f"k{number}": "x" for number in range(49)}
        )
    with pytest.raises(ClientError, match="failed to satisfy constraint"):
        sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"a": "[1, 2]"})


def test_the_author_of_a_change_is_its_caller(aws: LocalAws, sagemaker: Any) -> None:
    (arn,) = new_group(sagemaker, "authors", 1)
    iam = client(aws, "iam")
    iam.create_user(UserName="alice")
    made = iam.create_access_key(UserName="alice")["AccessKey"]
    role = iam.create_role(RoleName="approver", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    taken = client(aws, "sts").assume_role(RoleArn=role, RoleSessionName="bob")["Credentials"]
    keys = [
        {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]},
        {
            "aws_access_key_id": taken["AccessKeyId"],
            "aws_secret_access_key": taken["SecretAccessKey"],
            "aws_session_token": taken["SessionToken"],
        },
    ]
    times = []
    for key, name in zip(keys, ("user/alice", "assumed-role/approver/bob")):
        sts, other = (
            boto3.client(service, region_name="us-east-1", endpoint_url=aws.endpoint_url, **key)
            for service in ("sts", "sagemaker")
        )
        other.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"a": name})
        described = sagemaker.describe_model_package(ModelPackageName=arn)
        author = described["LastModifiedBy"]["IamIdentity"]["Arn"]
        assert author == sts.get_caller_identity()["Arn"]
        assert author.endswith(name)
        assert described["CreatedBy"] != described["LastModifiedBy"]
        times.append(described["LastModifiedTime"])
    assert described["CreationTime"] < times[0] < times[1]


@pytest.mark.parametrize("containers", [[], [{"Image": "r.example/a:1"}, {"Image": "r.example/b:1"}]])
def test_a_model_needs_a_package_with_one_container(sagemaker: Any, containers: list[Any]) -> None:
    group = f"containers-{len(containers)}"
    specification = {"InferenceSpecification": {"Containers": containers}} if containers else {}
    asked = {**package_request(group, "Approved"), **specification}
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    if not containers:
        del asked["InferenceSpecification"]
    arn = sagemaker.create_model_package(**asked)["ModelPackageArn"]
    with pytest.raises(ClientError, match=f"has {len(containers)} containers"):
        sagemaker.create_model(ModelName=group, ExecutionRoleArn=ROLE, PrimaryContainer={"ModelPackageName": arn})


@pytest.mark.parametrize(
    ("operation", "given", "words"),
    [
        ("describe_model_package_group", {"ModelPackageGroupName": "nobody"}, MISSING_GROUP),
        ("delete_model_package_group", {"ModelPackageGroupName": "nobody"}, MISSING_GROUP),
        ("list_model_packages", {"ModelPackageGroupName": "nobody"}, MISSING_GROUP),
        ("create_model_package", package_request("nobody"), MISSING_GROUP),
        (
            "create_model_package_group",
            {"ModelPackageGroupName": "refusals"},
            "Model Package Group already exists: arn",
        ),
        (
            "create_model_package",
            package_request("refusals", Tags=[{"Key": "a", "Value": "b"}]),
            r"Tags are not supported in Model Package versions\. Please add them to the Model Package Group",
        ),
        ("create_model_package", {"ModelPackageName": "alone"}, "ModelPackageGroupName is missing"),
        (
            "create_model_package",
            package_request("refusals", ModelPackageName="x"),
            "Cannot determine which one to use",
        ),
        ("delete_model_package_group", {"ModelPackageGroupName": "refusals"}, "ConflictException.*cannot be deleted"),
        ("update_model_package", {"ModelPackageArn": f"{PACKAGE_ARN}/refusals/9"}, "does not exist"),
        ("delete_model_package", {"ModelPackageName": f"{PACKAGE_ARN}/refusals/9"}, "does not exist"),
        ("list_tags", {"ResourceArn": f"{PACKAGE_ARN}/refusals/1"}, "Tags are not supported in Model Package versions"),
    ],
)
def test_what_sagemaker_refuses(sagemaker: Any, operation: str, given: dict[str, Any], words: str) -> None:
    if not sagemaker.list_model_package_groups(NameContains="refusals")["ModelPackageGroupSummaryList"]:
        new_group(sagemaker, "refusals", 1)
    with pytest.raises(ClientError, match=words):
        getattr(sagemaker, operation)(**given)


def test_a_group_without_versions_is_deleted_with_its_tags(aws: LocalAws, sagemaker: Any) -> None:
    tags = [{"Key": "ncf:namespace", "Value": "kubeflow"}]
    arn = sagemaker.create_model_package_group(ModelPackageGroupName="tagged", Tags=tags)["ModelPackageGroupArn"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags
    found = client(aws, "resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "ncf:namespace"}])
    assert arn in [entry["ResourceARN"] for entry in found["ResourceTagMappingList"]]
    package = sagemaker.create_model_package(**package_request("tagged"))["ModelPackageArn"]
    sagemaker.delete_model_package(ModelPackageName=package)
    sagemaker.delete_model_package_group(ModelPackageGroupName="tagged")
    with pytest.raises(ClientError, match="Could not find"):
        sagemaker.list_tags(ResourceArn=arn)


def test_a_model_is_created_from_an_approved_package_only(aws: LocalAws, sagemaker: Any) -> None:
    client(aws, "s3").put_object(Bucket="bucket", Key="models/m/text", Body=b"of the package")
    (arn,) = new_group(sagemaker, "approval", 1)
    asked = {
        "ModelName": "of-package",
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"ModelPackageName": arn, "Environment": {"NCF_A": "b"}},
    }
    for status in ("PendingManualApproval", "Rejected"):
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)
        with pytest.raises(ClientError, match=f"{re.escape(arn)}: its ModelApprovalStatus is {status}"):
            sagemaker.create_model(**asked)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.create_model(**{**asked, "PrimaryContainer": {"ModelPackageName": f"{PACKAGE_ARN}/approval/7"}})
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
    sagemaker.create_model(**asked)
    variant = {"VariantName": "v", "ModelName": "of-package", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="of-package", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="of-package", EndpointConfigName="of-package")
    assert settle(sagemaker, "of-package")["EndpointStatus"] == "InService"
    assert aws.invoke("of-package", {})["model"] == "of the package"


def test_a_serverless_endpoint_needs_a_package_with_an_archive(sagemaker: Any) -> None:
    (arn,) = new_group(sagemaker, "serverless", 1)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    container = {"ModelPackageName": arn}
    sagemaker.create_model(ModelName="no-archive", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 1}
    variant = {"VariantName": "v", "ModelName": "no-archive", "ServerlessConfig": serverless}
    with pytest.raises(ClientError, match="do not support ModelDataSource"):
        sagemaker.create_endpoint_config(EndpointConfigName="no-archive", ProductionVariants=[variant])


def test_faults_of_the_registry(aws: LocalAws, sagemaker: Any) -> None:
    arns = new_group(sagemaker, "faults", 2)
    aws.faults.add("late", "ListModelPackages")
    assert [versions(sagemaker, "faults") for _ in range(2)] == [[1], [2, 1]]
    aws.faults.add("late", "DescribeModelPackage")
    assert sagemaker.describe_model_package(ModelPackageName=arns[0])["ModelPackageVersion"] == 1
    aws.faults.add("late", "UpdateModelPackage")
    aws.faults.add("late", "CreateModelPackage")
    for call in (
        lambda: sagemaker.describe_model_package(ModelPackageName=arns[1]),
        lambda: sagemaker.update_model_package(ModelPackageArn=arns[1], ModelApprovalStatus="Approved"),
        lambda: sagemaker.create_model_package(**package_request("faults")),
    ):
        with pytest.raises(ClientError, match="does not exist"):
            call()
        call()
    aws.faults.add("refuse", "CreateModelPackage", error="AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        sagemaker.create_model_package(**package_request("faults"))
    assert aws.faults.coming() == []
