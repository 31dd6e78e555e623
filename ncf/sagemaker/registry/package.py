"""A model package: a version of a model package group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.sagemaker.registry.content import fingerprint
from ncf.sagemaker.registry.names import GROUP, PENDING
from ncf.sagemaker.registry.properties import DIFF, REPORT, RUN
from ncf.storage import is_s3

CALLS = (
    "sagemaker:DescribeModelPackage",
    "sagemaker:DescribeModelPackageGroup",
    "sagemaker:ListModelPackages",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

_ARN = re.compile(rf"arn:aws[a-z-]*:sagemaker:[a-z0-9-]{{9,16}}:\d{{12}}:model-package/{GROUP}/[1-9]\d{{0,8}}")
_NAME = re.compile(rf"(?P<group>{GROUP})(/(?P<version>[1-9]\d{{0,8}}))?")
_SHOWN_VERSIONS = 5
_EXPECTED = "expected the ARN of a model package version, GROUP/VERSION, or GROUP for its latest version"


@dataclass(frozen=True)
class Package:
    """A version of a model package group.

    Attributes:
        arn: ARN of the version.
        group: name of the group.
        version: number of the version, from 1.
        status: ModelApprovalStatus: :data:`PENDING`, :data:`APPROVED` or :data:`REJECTED`.
        state: ModelPackageStatus: ``Completed``, or ``Pending``, ``InProgress``, ``Failed`` or ``Deleting``.
        created: time of registration.
        modified: time of the last change.
        modified_by: who made it: the user profile of SageMaker Studio, or an ARN of IAM; '' if AWS does not say.
        note: ApprovalDescription.
        containers: number of containers; a package of this project has one.
        image: image of the first container; '' for none.
        model_uri: S3 URI of its model: a folder without ``/`` at the end, or an archive; '' for none.
        properties: CustomerMetadataProperties.
        content: fingerprint of what a decision concerns: containers, and properties of this project.
        metrics_uri: URI of the metrics of evaluate; '' for none.
    """

    arn: str
    group: str
    version: int
    status: str
    state: str
    created: datetime
    modified: datetime
    modified_by: str
    note: str
    containers: int
    image: str
    model_uri: str
    properties: Mapping[str, str]
    content: str
    metrics_uri: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Package:
        """The package of an answer of DescribeModelPackage."""
        containers = answer.get("InferenceSpecification", {}).get("Containers", [])
        container = containers[0] if containers else {}
        source = container.get("ModelDataSource", {}).get("S3DataSource", {})
        author = answer.get("LastModifiedBy") or answer.get("CreatedBy") or {}
        statistics = answer.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {})
        return cls(
            arn=answer["ModelPackageArn"],
            group=answer.get("ModelPackageGroupName", answer["ModelPackageName"]),
            version=answer.get("ModelPackageVersion", 0),
            status=answer.get("ModelApprovalStatus", PENDING),
            state=answer["ModelPackageStatus"],
            created=answer["CreationTime"],
            modified=answer.get("LastModifiedTime", answer["CreationTime"]),
            modified_by=author.get("UserProfileName") or author.get("IamIdentity", {}).get("Arn", ""),
            note=answer.get("ApprovalDescription", ""),
            containers=len(containers),
            image=container.get("Image", ""),
            model_uri=container.get("ModelDataUrl", "") or source.get("S3Uri", "").rstrip("/"),
            properties=answer.get("CustomerMetadataProperties", {}),
            content=fingerprint(answer),
            metrics_uri=statistics.get("S3Uri", ""),
        )

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.group} version {self.version}"

    @property
    def run(self) -> str:
        """ID of the pipeline run; '' for none."""
        return self.properties.get(RUN, "")

    def model_in_s3(self) -> str:
        """``model_uri``.

        Raises:
            InputError: if the package names no model, or one that is not in S3, as packages of others may.
        """
        if is_s3(self.model_uri):
            return self.model_uri
        raise InputError(f"the model of {self.name} is at '{self.model_uri}'; expected an s3:// URI")

    @property
    def report_uri(self) -> str:
        """URI of the report of evaluate; '' for none."""
        return self.properties.get(REPORT, "")

    @property
    def diff_uri(self) -> str:
        """URI of the comparison with the model that was live; '' for none."""
        return self.properties.get(DIFF, "")


def describe(aws: Aws, arn: str) -> Package | None:
    """The package of an ARN; None if it does not exist."""
    answer = aws.find("sagemaker", "describe_model_package", ModelPackageName=arn)
    return Package.of(answer) if answer else None


def packages(aws: Aws, group: str, status: str = "") -> Iterator[Package]:
    """The packages of a group, the newest first. None if the group does not exist.

    Args:
        aws: clients.
        group: name of the group.
        status: only packages of this status; '' for all.
    """
    for arn in _arns(aws, group, status):
        if package := describe(aws, arn):  # it may have been deleted since it was listed
            yield package


def _arns(aws: Aws, group: str, status: str = "") -> Iterator[str]:
    request: dict[str, Any] = {"ModelPackageGroupName": group, "SortBy": "CreationTime", "SortOrder": "Descending"}
    if status:
        request["ModelApprovalStatus"] = status
    try:
        for page in aws.pages("sagemaker", "list_model_packages", **request):
            for entry in page["ModelPackageSummaryList"]:
                yield entry["ModelPackageArn"]
    except RefusedError as error:
        if not error.says_missing:
            raise


def group_and_version(arn: str) -> tuple[str, int]:
    """Name of the group and number of the version in the ARN of a package; ('', 0) if it is another one."""
    if not _ARN.fullmatch(arn):
        return "", 0
    _, group, version = arn.split("/")
    return group, int(version)


def is_version(text: str) -> bool:
    """Whether a text is the ARN of a package, or GROUP/VERSION."""
    name = _NAME.fullmatch(text)
    return bool(_ARN.fullmatch(text) or (name and name["version"]))


def find(aws: Aws, text: str) -> Package:
    """The package that a person names.

    Args:
        aws: clients.
        text: ARN, ``GROUP/VERSION``, or ``GROUP`` for its latest version.

    Raises:
        InputError: if the text is none of them, or the package does not exist. The message says what is accepted.
    """
    if _ARN.fullmatch(text):
        arn = text
    elif name := _NAME.fullmatch(text):
        if not name["version"] and (latest := next(packages(aws, name["group"]), None)):
            return latest
        group = _group_arn(aws, name["group"])
        if not group:
            raise InputError(f"there is no model package group '{name['group']}' in {aws.region}; {_EXPECTED}")
        if not name["version"]:
            raise InputError(f"the model package group '{text}' has no versions")
        arn = f"{_of_packages(group)}/{name['version']}"
    else:
        raise InputError(f"'{text}' is no model package: {_EXPECTED}")
    if package := describe(aws, arn):
        return package
    raise InputError(f"there is no model package {arn}{_newest_versions(aws, arn)}; {_EXPECTED}")


def _newest_versions(aws: Aws, arn: str) -> str:
    """The versions that the group of a missing package has, in words."""
    group = arn.split("/")[1]
    known = ", ".join(other.rpartition("/")[2] for other in islice(_arns(aws, group), _SHOWN_VERSIONS))
    return f" (newest versions of '{group}': {known})" if known else f" ('{group}' has no versions)"


def has_group(aws: Aws, group: str) -> bool:
    """Whether a group exists."""
    return bool(_group_arn(aws, group))


def _group_arn(aws: Aws, group: str) -> str:
    """ARN of a group; '' if it does not exist."""
    answer = aws.find("sagemaker", "describe_model_package_group", ModelPackageGroupName=group)
    return str(answer["ModelPackageGroupArn"]) if answer else ""


def _of_packages(group_arn: str) -> str:
    """ARN of a group's packages, without ``/VERSION``."""
    return group_arn.replace(":model-package-group/", ":model-package/", 1)
