"""Requests of the Model Registry, and a stand-in for the tests of code that calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from components.local.aws import LocalAws, Processes
from ncf.aws import session
from ncf.aws.names import RUN_TAG
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess

GROUP_ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package-group"
PACKAGE_ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package"
SOURCE = {"S3DataSource": {"S3Uri": "s3://bucket/models/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}}


def package_request(group: str, status: str = "PendingManualApproval", **changes: Any) -> dict[str, Any]:
    """A request of CreateModelPackage."""
    container = {"Image": "r.example/ncf-deploy:1.0", "ModelDataSource": SOURCE}
    return {
        "ModelPackageGroupName": group,
        "ModelApprovalStatus": status,
        "InferenceSpecification": {"Containers": [container], "SupportedContentTypes": ["application/json"]},
        **changes,
    }


def specification(uri: str) -> dict[str, Any]:
    """InferenceSpecification of a model at an S3 URI: a folder, or an archive."""
    source = {"S3Uri": f"{uri}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    data = {"ModelDataUrl": uri} if uri.endswith(".tar.gz") else {"ModelDataSource": {"S3DataSource": source}}
    return {
        "Containers": [{"Image": "r.example/ncf-deploy:1.0", **data}],
        "SupportedContentTypes": ["application/json"],
    }


@contextmanager
def registry_account(folder: Path) -> Iterator[LocalAws]:
    """A stand-in that the environment leads all clients to; retries and polling take no time."""
    with (
        LocalAws(folder / "aws", Processes({})) as local,
        patch.dict("os.environ", local.environment),
        patch.object(session, "_PAUSE_SECONDS", (0.01, 0.02)),
        patch.object(session, "_POLL_SECONDS", (0.0, 0.0)),
        patch("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0),
    ):
        yield local


def new_group(aws: Aws, group: str) -> str:
    """Create a group; its name."""
    aws.call("sagemaker", "create_model_package_group", ModelPackageGroupName=group)
    return group


def new_package(aws: Aws, group: str, status: str = "PendingManualApproval", **changes: Any) -> str:
    """Create a package in a group that exists; its ARN."""
    answer = aws.call("sagemaker", "create_model_package", **package_request(group, status, **changes))
    return str(answer["ModelPackageArn"])


def endpoint_of_package(local: LocalAws, aws: Aws, name: str, package: str) -> None:
    """An endpoint of a package, which must be approved. It counts as in service, though no program runs."""
    container = {"ModelPackageName": package}
    role = "arn:aws:iam::123456789012:role/test"
    aws.call("sagemaker", "create_model", ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)
    variant = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    aws.call("sagemaker", "create_endpoint_config", EndpointConfigName=name, ProductionVariants=[variant])
    local.faults.add("hold", name, state="Creating", seconds=600)
    tags = [{"Key": RUN_TAG, "Value": f"run-of-{name}"}]
    aws.call("sagemaker", "create_endpoint", EndpointName=name, EndpointConfigName=name, Tags=tags)
    local._api.endpoint(name)._set("InService")


def clients() -> Aws:
    """Clients of the account that the environment leads to."""
    return Aws(AwsAccess())
