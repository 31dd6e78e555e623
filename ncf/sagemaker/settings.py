"""Parameters of the stages that run on SageMaker, and which of their combinations cannot be.

Names are those of AWS's former KFP components where the meaning is the same.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator

from ncf.errors import InputError
from ncf.serving.invocation import MAX_USERS
from ncf.storage import split_uri

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")
_ENDPOINT_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_CUDA_13 = re.compile(r"cu(da)?-?13")
_DAYS_28, _MAX_TAGS = 2_419_200, 50


class AwsSettings(BaseModel):
    """Where and as whom to work, and under which run: what every stage on SageMaker takes."""

    role: str = Field(description="ARN of the IAM role that SageMaker works as: reads and writes S3, pulls images")
    region: str = Field("", description="AWS region, such as eu-west-1; '': the environment's")
    assume_role: str = Field("", description="ARN of an IAM role to call SageMaker as (not S3); '': the pod's own")
    s3_prefix: str = Field(
        "",
        description="s3:// URI to copy artifacts to that lie outside S3, where SageMaker cannot reach",
    )
    tags: dict[str, str] = Field({}, description="Tags of all that is created, as {name: value}, 50 at most")
    vpc_subnets: str = Field("", description="Subnet IDs, comma-separated, to run in a VPC; '': none")
    vpc_security_group_ids: str = Field("", description="Security group IDs in that VPC, comma-separated; '': none")
    network_isolation: bool = Field(True, description="Whether containers are cut off from the network")
    run_id: str = Field(
        "", description="Run that this belongs to: a second try of it takes up the first; '': a new run"
    )

    @field_validator("role", "assume_role")
    @classmethod
    def _is_role(cls, value: str, info: Any) -> str:
        if (value or info.field_name == "role") and not _ROLE_ARN.fullmatch(value):
            raise ValueError("expected the ARN of an IAM role, such as arn:aws:iam::123456789012:role/NAME")
        return value

    @field_validator("s3_prefix")
    @classmethod
    def _is_s3(cls, value: str) -> str:
        return _checked_s3(value)

    @field_validator("tags")
    @classmethod
    def _few_tags(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > _MAX_TAGS:
            raise ValueError(f"{len(value)} tags; SageMaker takes {_MAX_TAGS} at most")
        return value

    @model_validator(mode="after")
    def _vpc_is_whole(self) -> AwsSettings:
        if bool(self.vpc_subnets) != bool(self.vpc_security_group_ids):
            raise ValueError("parameters 'vpc_subnets' and 'vpc_security_group_ids' go together: give both or none")
        return self

    def tag_list(self) -> list[dict[str, str]]:
        """The tags as the API takes them."""
        return [{"Key": key, "Value": value} for key, value in sorted(self.tags.items())]

    def vpc_config(self) -> dict[str, list[str]] | None:
        """The VPC as the API takes it; None without one."""
        if not self.vpc_subnets:
            return None
        return {"Subnets": _split(self.vpc_subnets), "SecurityGroupIds": _split(self.vpc_security_group_ids)}


class JobSettings(AwsSettings):
    """How a training job runs."""

    train_image: str = Field(min_length=1, description="Image of the training job, in ECR: SageMaker pulls no other")
    instance_type: str = Field("ml.g5.xlarge", description="Type of the training instances")
    instance_count: int = Field(1, ge=1, le=100, description="Number of training instances")
    volume_size: int = Field(30, ge=1, le=16_384, description="Storage of each training instance, GB")
    max_run_time: int = Field(3600, ge=60, le=_DAYS_28, description="Seconds after which SageMaker stops the job")
    spot_instance: bool = Field(False, description="Whether to train on spot instances, which AWS may take back")
    max_wait_time: int = Field(
        0,
        ge=0,
        le=_DAYS_28,
        description="Seconds that a spot job may take, waiting included; 0: no spot job",
    )
    checkpoint_s3_uri: str = Field(
        "", description="s3:// URI for checkpoints, to go on from after an interruption; '': none"
    )
    keep_alive_period: int = Field(0, ge=0, le=21_600, description="Seconds that instances stay warm for the next job")
    traffic_encryption: bool = Field(False, description="Whether traffic between training instances is encrypted")
    resource_encryption_key: str = Field("", description="KMS key of the instances' storage; '': AWS's own")
    output_encryption_key: str = Field("", description="KMS key of the model in S3; '': the bucket's default")
    max_attempts: int = Field(
        1, ge=1, le=10, description="Jobs that a run may start, the next one if the last did not complete"
    )

    @field_validator("instance_type")
    @classmethod
    def _is_instance_type(cls, value: str) -> str:
        return _checked_instance_type(value)

    @field_validator("checkpoint_s3_uri")
    @classmethod
    def _checkpoints_in_s3(cls, value: str) -> str:
        return _checked_s3(value)

    @model_validator(mode="after")
    def _possible(self) -> JobSettings:
        if self.spot_instance and self.max_wait_time < self.max_run_time:
            raise ValueError(
                f"parameter 'max_wait_time' is {self.max_wait_time}: with 'spot_instance' it must be at "
                f"least 'max_run_time', {self.max_run_time}"
            )
        if self.max_wait_time and not self.spot_instance:
            raise ValueError("parameter 'max_wait_time' is for spot jobs: set 'spot_instance' too, or leave it 0")
        if self.spot_instance and self.keep_alive_period:
            raise ValueError("parameters 'spot_instance' and 'keep_alive_period': spot instances are never kept warm")
        if self.instance_type.startswith("ml.p3") and _CUDA_13.search(self.train_image):
            raise ValueError(
                f"parameter 'instance_type' is {self.instance_type}: its V100 GPUs do not run CUDA 13, which "
                f"'train_image' is built for; use ml.g4dn, ml.g5 or later"
            )
        return self


class EndpointSettings(AwsSettings):
    """How a model is hosted."""

    endpoint_name: str = Field(
        "",
        description="Endpoint to create, or to update if it is there; '': a new one, named after the run",
    )
    deploy_image: str = Field(min_length=1, description="Image that serves the model, in ECR: SageMaker pulls no other")
    endpoint_instance_type: str = Field("ml.m5.large", description="Type of the hosting instances")
    initial_instance_count: int = Field(1, ge=1, le=100, description="Number of hosting instances")
    startup_timeout: int = Field(
        600, ge=60, le=3600, description="Seconds that an instance has to load the model and to answer /ping"
    )
    endpoint_wait_time: int = Field(
        3600, ge=60, le=86_400, description="Seconds to wait for the endpoint to be in service"
    )
    resource_encryption_key: str = Field("", description="KMS key of the instances' storage; '': AWS's own")
    smoke_test_users: int = Field(
        3, ge=0, le=MAX_USERS, description="Users of the model to ask the live endpoint for; 0: no smoke test"
    )

    @field_validator("endpoint_name")
    @classmethod
    def _is_endpoint_name(cls, value: str) -> str:
        if value and not _ENDPOINT_NAME.fullmatch(value):
            raise ValueError("expected 1 to 63 letters, digits and hyphens, a hyphen neither first nor last")
        return value

    @field_validator("endpoint_instance_type")
    @classmethod
    def _is_instance_type(cls, value: str) -> str:
        return _checked_instance_type(value)


def _checked_s3(value: str) -> str:
    try:
        if value:
            split_uri(value)
    except InputError as error:
        raise ValueError(str(error)) from None
    return value.rstrip("/")


def _checked_instance_type(value: str) -> str:
    if not _INSTANCE_TYPE.fullmatch(value):
        raise ValueError("expected an instance type of SageMaker, such as ml.g5.xlarge")
    return value


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
