"""Registration of a model: one package for each run, however often it is tried."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ncf.aws.bounds import check_request
from ncf.aws.errors import RefusedError
from ncf.aws.names import tag_list
from ncf.aws.namespace import namespace_tags
from ncf.aws.session import CONSISTENCY_SECONDS, Aws, poll
from ncf.errors import RemoteError
from ncf.sagemaker.registry.package import Package, describe
from ncf.sagemaker.registry.record import Record, is_description_of

CALLS = (
    "sagemaker:AddTags",
    "sagemaker:CreateModelPackage",
    "sagemaker:CreateModelPackageGroup",
    "sagemaker:DescribeModelPackage",
    "sagemaker:DescribeModelPackageGroup",
    "sagemaker:ListModelPackages",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

_log = logging.getLogger(__name__)
_CONTAINER = "InferenceSpecification.Containers"
_PARAMETERS = {
    "ModelPackageGroupName": "registry_group",
    f"{_CONTAINER}.Image": "deploy_image",
    f"{_CONTAINER}.ModelDataUrl": "s3_prefix",
    f"{_CONTAINER}.ModelDataSource": "s3_prefix",
    "ModelMetrics": "s3_prefix",
}
"""Path in the request -> the parameter that it is made of."""
_PAGE = 100
_COMPLETION_SECONDS = 600.0


def check_record(aws: Aws, record: Record) -> dict[str, Any]:
    """Refuse what SageMaker would refuse. Nothing is called.

    Returns:
        The arguments of CreateModelPackage.

    Raises:
        InputError: naming the parameter, its value and what is accepted.
    """
    model = aws.client("sagemaker").meta.service_model
    kinds = ("ProductionVariantInstanceType", "TransformInstanceType")
    request = record.request({kind: list(model.shape_for(kind).enum) for kind in kinds})
    check_request(aws, "CreateModelPackage", request, _PARAMETERS)
    return request


def register(aws: Aws, record: Record, upload: Callable[[], None]) -> Package:
    """Register a model, unless an earlier try of the run has.

    Args:
        aws: clients.
        record: of the model.
        upload: copies to S3 what is not there; called before the package is created.

    Returns:
        The package.

    Raises:
        InputError: if SageMaker would refuse the request.
        RemoteError: if the package does not get ready.
    """
    request = check_record(aws, record)
    arn = _of_run(aws, record)
    if arn:
        _log.info("run %s is registered already, as %s", record.run, arn)
    else:
        upload()
        _create_group(aws, record.group)
        arn = _create(aws, record, request)
    return _completed(aws, arn)


def _of_run(aws: Aws, record: Record) -> str:
    """ARN of the run's package; '' for none. A ClientToken holds for a limited time."""
    request: dict[str, Any] = {"ModelPackageGroupName": record.group, "MaxResults": _PAGE}
    try:
        for page in aws.pages("sagemaker", "list_model_packages", **request):
            for entry in page["ModelPackageSummaryList"]:
                if is_description_of(entry.get("ModelPackageDescription", ""), record.run):
                    package = describe(aws, entry["ModelPackageArn"])
                    if package and package.run == record.run:
                        return package.arn
    except RefusedError as error:
        if not error.says_missing:
            raise
    return ""


def _create_group(aws: Aws, group: str) -> None:
    """Create the group, unless it exists."""
    if aws.find("sagemaker", "describe_model_package_group", ModelPackageGroupName=group):
        return
    description = "Models of the pipeline ncf"
    try:
        aws.call(
            "sagemaker",
            "create_model_package_group",
            ModelPackageGroupName=group,
            ModelPackageGroupDescription=description,
            Tags=tag_list(namespace_tags()),
        )
    except RefusedError as error:
        if not error.says_exists:  # another pod has created it
            raise


def _create(aws: Aws, record: Record, request: dict[str, Any]) -> str:
    """Create the package, or return the one that another pod of the run creates."""
    try:
        return str(aws.call_with_new("sagemaker", "create_model_package", **request)["ModelPackageArn"])
    except RefusedError as error:
        if error.code != "ConflictException":
            raise
        for _ in poll(CONSISTENCY_SECONDS):
            if arn := _of_run(aws, record):
                return arn
        raise


def _completed(aws: Aws, arn: str) -> Package:
    """The package once it is ready for deployment.

    Raises:
        RemoteError: if SageMaker fails to create it, or does not within 10 minutes, or if it has been deleted.
    """
    if not any(describe(aws, arn) for _ in poll(CONSISTENCY_SECONDS)):
        raise RemoteError(
            f"model package {arn} does not exist: it has been deleted, and its ClientToken, which is that of the run, "
            "still leads to it; a new run registers a model again"
        )
    status = "missing"
    for _ in poll(_COMPLETION_SECONDS):
        answer = aws.find("sagemaker", "describe_model_package", ModelPackageName=arn)
        status = answer["ModelPackageStatus"] if answer else "missing"
        if answer and status == "Completed":
            return Package.of(answer)
        if answer and status == "Failed":
            found = answer["ModelPackageStatusDetails"]["ValidationStatuses"]
            reasons = [entry["FailureReason"] for entry in found if entry.get("FailureReason")]
            raise RemoteError(f"model package {arn}: {'; '.join(reasons) or 'SageMaker gives no reason'}")
    raise RemoteError(f"model package {arn} is {status} after {_COMPLETION_SECONDS:.0f} s")
