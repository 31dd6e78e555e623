"""Parameters that all jobs on instances have in common."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from ncf.aws.names import JOB_PREFIX, MAX_NAME_LENGTH, hashed_stem
from ncf.sagemaker.settings import AwsSettings, check_encryption_key, checked_instance_type

_JOB_PREFIX = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # ARNs are in lower case
_MAX_JOB_PREFIX = len(hashed_stem("x" * MAX_NAME_LENGTH, reserved=len("-99")))


class InstanceSettings(AwsSettings):
    """Instances of a job, its retries and its cost."""

    job_prefix: str = Field(JOB_PREFIX, description="Beginning of the names of jobs, 'JobPrefix' of the roles")
    instance_type: str = Field("ml.m5.xlarge", description="Type of the instances")
    instance_count: int = Field(1, ge=1, le=100, description="Number of instances")
    resource_encryption_key: str = Field("", description="KMS key of the instances' storage; '': AWS's own")
    output_encryption_key: str = Field("", description="KMS key of the outputs in S3; '': the bucket's default")
    max_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="Jobs that a run may start: another one after a capacity error or an internal error of "
        "SageMaker, none after an error of the program or the request",
    )
    price_per_hour: float = Field(
        0.0, ge=0, description="Price of one instance, USD per hour, for the cost estimate; 0: from AWS's price list"
    )

    @classmethod
    def of(cls, stage: Any) -> Self:
        """The settings among the parameters of a stage."""
        return cls(**{name: getattr(stage, name) for name in cls.model_fields})

    @field_validator("job_prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        return checked_job_prefix(value)

    @field_validator("instance_type")
    @classmethod
    def _is_instance_type(cls, value: str) -> str:
        return checked_instance_type(value)

    @model_validator(mode="after")
    def _key_is_accepted(self) -> InstanceSettings:
        check_encryption_key(self.resource_encryption_key, "instance_type", self.instance_type)
        return self


def checked_job_prefix(value: str) -> str:
    """The beginning of the names of jobs, after which a hash and the number of an attempt fit.

    Raises:
        ValueError: if it is none.
    """
    if not _JOB_PREFIX.fullmatch(value) or len(value) > _MAX_JOB_PREFIX:
        raise ValueError(
            f"expected {_MAX_JOB_PREFIX} characters at most: lower-case letters, digits and single hyphens inside"
        )
    return value
