"""Parameters of a stage that calls AWS: region, role and profile."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from ncf.parameters import Parameters

_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")


class Region(Parameters):
    """The AWS region of a stage's calls."""

    region: str = Field("", description="AWS region, such as eu-west-1; '': the environment's")

    @field_validator("region")
    @classmethod
    def _is_region(cls, value: str) -> str:
        if value and not _REGION.fullmatch(value):
            raise ValueError("expected the name of an AWS region, such as eu-west-1")
        return value


class AwsAccess(Region):
    """The AWS region and identity of a stage's calls."""

    assume_role: str = Field("", description="ARN of an IAM role to call SageMaker as (not S3); '': the pod's own")
    profile: str = Field("", description="Profile of AWS's local configuration to call as (not S3); '': none")

    @field_validator("assume_role")
    @classmethod
    def _is_other_role(cls, value: str) -> str:
        return checked_role(value) if value else value


def checked_role(value: str) -> str:
    """An IAM role's ARN.

    Raises:
        ValueError: if the value is none.
    """
    if not _ROLE_ARN.fullmatch(value):
        raise ValueError("expected the ARN of an IAM role, such as arn:aws:iam::123456789012:role/NAME")
    return value
