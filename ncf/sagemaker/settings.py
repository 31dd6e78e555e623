"""Parameters that the stages on SageMaker have in common.

Names are those of AWS's former KFP components where the meaning is the same.
"""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from ncf.aws.names import OWN_TAGS, TAG_PREFIX
from ncf.aws.settings import AwsAccess, checked_role
from ncf.errors import InputError
from ncf.storage import split_uri

_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")
_LOCAL_STORAGE = re.compile(r"ml\.(g4dn|g5|g6e?|gr6|p3dn|p4de?|p5(e|en)?|p6\S*|trn1n?|trn2|[cmr]\d[a-z]*d[a-z]*)\..*")
"""Instance types with local, encrypted storage, which accept no KMS key (CreateTrainingJob, VolumeKmsKeyId)."""
_TAG_NAME, _TAG_TEXT = re.compile(r"[\w .:/=+\-@]{1,128}"), re.compile(r"[\w .:/=+\-@]{0,256}")
_MAX_TAGS = 50 - OWN_TAGS


class AwsSettings(AwsAccess):
    """Parameters that the training job and the endpoint have in common."""

    role: str = Field(description="ARN of the IAM role that SageMaker assumes to read and write S3 and to pull images")
    s3_prefix: str = Field(
        "",
        description="s3:// URI to copy artifacts to that are not in S3, as SageMaker reads only S3",
    )
    tags: dict[str, str] = Field(
        {}, description=f"Tags of all created resources, as {{name: value}}, {_MAX_TAGS} at most"
    )
    vpc_subnets: str = Field("", description="Subnet IDs, comma-separated, to run in a VPC; '': none")
    vpc_security_group_ids: str = Field("", description="Security group IDs in that VPC, comma-separated; '': none")
    network_isolation: bool = Field(True, description="Whether containers have no network access")
    run_id: str = Field(
        "", description="ID of the run: a retry with the same ID continues the first try; '': a new run"
    )

    @field_validator("role")
    @classmethod
    def _is_role(cls, value: str) -> str:
        return checked_role(value)

    @field_validator("run_id")
    @classmethod
    def _fits_a_tag(cls, value: str) -> str:
        return checked_run_id(value)

    @field_validator("s3_prefix")
    @classmethod
    def _is_s3(cls, value: str) -> str:
        return checked_s3(value)

    @field_validator("tags")
    @classmethod
    def _few_tags(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > _MAX_TAGS:
            raise ValueError(f"{len(value)} tags; {_MAX_TAGS} are accepted at most, as {OWN_TAGS} are reserved")
        for name, text in value.items():
            if name.startswith((TAG_PREFIX, "aws:")):
                raise ValueError(f"a name may not begin with '{TAG_PREFIX}' or 'aws:', as '{name}' does")
            if not _TAG_NAME.fullmatch(name) or not _TAG_TEXT.fullmatch(text):
                raise ValueError(
                    f"'{name}': letters, digits, spaces, _.:/=+-@ are accepted, 128 at most in a name, 256 in a value"
                )
        return value

    @model_validator(mode="after")
    def _vpc_is_complete(self) -> AwsSettings:
        if bool(self.vpc_subnets) != bool(self.vpc_security_group_ids):
            raise ValueError("parameters 'vpc_subnets' and 'vpc_security_group_ids' go together: give both or none")
        return self

    def vpc_config(self) -> dict[str, list[str]] | None:
        """``VpcConfig`` of an API request; None without a VPC."""
        if not self.vpc_subnets:
            return None
        return {"Subnets": split_names(self.vpc_subnets), "SecurityGroupIds": split_names(self.vpc_security_group_ids)}


def checked_run_id(value: str) -> str:
    """A run's ID, which is stored as the value of a tag, and of a property of a model package.

    Raises:
        ValueError: if a tag cannot hold it, or a property would hold another text.
    """
    if not _TAG_TEXT.fullmatch(value):
        raise ValueError("expected letters, digits, spaces and _.:/=+-@, 256 at most")
    if value != " ".join(value.split()):
        raise ValueError("expected single spaces, and none at the ends")
    return value


def checked_s3(value: str) -> str:
    """An S3 URI without a slash at its end, or ''.

    Raises:
        ValueError: if the value is another URI.
    """
    try:
        if value:
            split_uri(value)
    except InputError as error:
        raise ValueError(str(error)) from None
    return value.rstrip("/")


def checked_instance_type(value: str) -> str:
    """An instance type of SageMaker.

    Raises:
        ValueError: if the value does not have the form of one.
    """
    if not _INSTANCE_TYPE.fullmatch(value):
        raise ValueError("expected an instance type of SageMaker, such as ml.g5.xlarge")
    return value


def check_encryption_key(key: str, parameter: str, instance_type: str) -> None:
    """Refuse a KMS key for an instance type with local storage.

    Args:
        key: parameter ``resource_encryption_key``; '' for none.
        parameter: name of the instance type's parameter.
        instance_type: its value.

    Raises:
        ValueError: if there is a key that SageMaker would refuse.
    """
    if key and _LOCAL_STORAGE.fullmatch(instance_type):
        raise ValueError(
            f"parameter 'resource_encryption_key' is '{key}': {instance_type} ('{parameter}') has local storage, which "
            "AWS encrypts with a key of its own; leave it empty"
        )


def split_names(names: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in names.split(",") if name.strip()]
