"""Parameters of the stages that run on SageMaker, and which of their combinations cannot be.

Names are those of AWS's former KFP components where the meaning is the same.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from ncf.api.limits import MAX_USERS
from ncf.aws.names import OWN_TAGS, TAG_PREFIX
from ncf.errors import InputError
from ncf.storage import split_uri

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")
_ENDPOINT_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_CUDA_13, _OLDER_CUDA = re.compile(r"cu(da)?-?13"), re.compile(r"cu(da)?-?1[0-2]|cpu")
_OWN_TRAIN_IMAGE = re.compile(r"(.*/)?ncf-train[:@].*")
_LOCAL_STORAGE = re.compile(r"ml\.(g4dn|g5|g6e?|gr6|p3dn|p4de?|p5(e|en)?|p6\S*|trn1n?|trn2|[cmr]\d[a-z]*d[a-z]*)\..*")
"""Instances with encrypted storage of their own, for which no key may be given (CreateTrainingJob, VolumeKmsKeyId)."""
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_TAG_TEXT = re.compile(r"[\w .:/=+\-@]{0,256}")
_DAYS_28, _MAX_ALARMS, _LEAST_LINEAR_PERCENT = 2_419_200, 10, 10
LONGEST_UPDATE = 28_800
"""Seconds: DeploymentConfig, MaximumExecutionTimeoutInSeconds."""
_MAX_TAGS = 50 - OWN_TAGS


_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w.-]+")
_URL = re.compile(r"https?://\S+")
_WHOM = "expected the ARN of an SNS topic, as arn:aws:sns:us-east-1:123456789012:NAME, or an https:// URL"


class Region(BaseModel):
    """Where to call AWS."""

    region: str = Field("", description="AWS region, such as eu-west-1; '': the environment's")

    @field_validator("region")
    @classmethod
    def _is_region(cls, value: str) -> str:
        if value and not _REGION.fullmatch(value):
            raise ValueError("expected the name of an AWS region, such as eu-west-1")
        return value


class AwsAccess(Region):
    """Where and as whom to call AWS."""

    assume_role: str = Field("", description="ARN of an IAM role to call SageMaker as (not S3); '': the pod's own")
    profile: str = Field("", description="Profile of AWS's local configuration to call as (not S3); '': none")

    @field_validator("assume_role")
    @classmethod
    def _is_other_role(cls, value: str) -> str:
        return _checked_role(value) if value else value


class AwsSettings(AwsAccess):
    """What every stage on SageMaker takes, beside where and as whom to work: under which run, and how apart."""

    role: str = Field(description="ARN of the IAM role that SageMaker works as: reads and writes S3, pulls images")
    s3_prefix: str = Field(
        "",
        description="s3:// URI to copy artifacts to that lie outside S3, where SageMaker cannot reach",
    )
    tags: dict[str, str] = Field(
        {}, description=f"Tags of all that is created, as {{name: value}}, {_MAX_TAGS} at most"
    )
    vpc_subnets: str = Field("", description="Subnet IDs, comma-separated, to run in a VPC; '': none")
    vpc_security_group_ids: str = Field("", description="Security group IDs in that VPC, comma-separated; '': none")
    network_isolation: bool = Field(True, description="Whether containers are cut off from the network")
    run_id: str = Field(
        "", description="Run that this belongs to: a second try of it takes up the first; '': a new run"
    )

    @field_validator("role")
    @classmethod
    def _is_role(cls, value: str) -> str:
        return _checked_role(value)

    @field_validator("run_id")
    @classmethod
    def _fits_a_tag(cls, value: str) -> str:
        return checked_run_id(value)

    @field_validator("s3_prefix")
    @classmethod
    def _is_s3(cls, value: str) -> str:
        return _checked_s3(value)

    @field_validator("tags")
    @classmethod
    def _few_tags(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > _MAX_TAGS:
            raise ValueError(f"{len(value)} tags; {_MAX_TAGS} are accepted at most, beside {OWN_TAGS} of ours")
        for name, text in value.items():
            if name.startswith((TAG_PREFIX, "aws:")):
                raise ValueError(f"a name may not begin with '{TAG_PREFIX}' or 'aws:', as '{name}' does")
            if not name or not _TAG_TEXT.fullmatch(name[:256]) or not _TAG_TEXT.fullmatch(text):
                raise ValueError(f"'{name}': letters, digits, spaces and _.:/=+-@ are accepted, 256 at most")
        return value

    @model_validator(mode="after")
    def _vpc_is_whole(self) -> AwsSettings:
        if bool(self.vpc_subnets) != bool(self.vpc_security_group_ids):
            raise ValueError("parameters 'vpc_subnets' and 'vpc_security_group_ids' go together: give both or none")
        return self

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
        "",
        description="s3:// URI for checkpoints, to go on from; '': beside the model for spot jobs, else none",
    )
    keep_alive_period: int = Field(0, ge=0, le=21_600, description="Seconds that instances stay warm for the next job")
    traffic_encryption: bool = Field(False, description="Whether traffic between training instances is encrypted")
    resource_encryption_key: str = Field("", description="KMS key of the instances' storage; '': AWS's own")
    output_encryption_key: str = Field("", description="KMS key of the model in S3; '': the bucket's default")
    max_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="Jobs that a run may start: the next one if the last failed for a reason that may pass, such as "
        "want of capacity or an error within SageMaker; never after an error of the program or the request",
    )
    price_per_hour: float = Field(
        0.0, ge=0, description="USD an hour of one instance, for the estimate of cost; 0: as AWS's price list says"
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
        _check_key(self.resource_encryption_key, "instance_type", self.instance_type)
        if self.instance_type.startswith("ml.p3.") and self._needs_cuda_13():
            raise ValueError(
                f"parameter 'instance_type' is {self.instance_type}: its V100 GPUs do not run CUDA 13, which "
                f"'train_image' is built for (unless its tag names another, such as cu128); use ml.g4dn, ml.g5 or later"
            )
        return self

    def _needs_cuda_13(self) -> bool:
        is_own = _OWN_TRAIN_IMAGE.fullmatch(self.train_image) and not _OLDER_CUDA.search(self.train_image)
        return bool(is_own or _CUDA_13.search(self.train_image))


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
        7200, ge=60, le=86_400, description="Seconds to wait for the endpoint to be in service"
    )
    resource_encryption_key: str = Field("", description="KMS key of the instances' storage; '': AWS's own")
    smoke_test_users: int = Field(
        3, ge=0, le=MAX_USERS, description="Users of the model to ask the live endpoint for; 0: no smoke test"
    )
    traffic_shift: Literal["all_at_once", "canary", "linear"] = Field(
        "all_at_once", description="How an update gives the new model the traffic, while alarms are watched"
    )
    shift_percent: int = Field(
        10, ge=5, le=50, description="Traffic of the first step (canary) or of each step (linear), percent"
    )
    bake_time: int = Field(
        300,
        ge=0,
        le=3600,
        description="Seconds that alarms are watched for after each step; CloudWatch takes one to three minutes to see",
    )
    termination_wait: int = Field(
        0, ge=0, le=3600, description="Seconds that the old instances are kept for after an update"
    )
    alarm_on_errors: bool = Field(
        True, description="Whether an update goes back if the endpoint answers 5xx; needs bake_time"
    )
    max_latency: int = Field(
        0, ge=0, le=60_000, description="Milliseconds of a mean answer in a minute above which it goes back; 0: any"
    )
    alarms: str = Field("", description="Names of more CloudWatch alarms that make an update go back, comma-separated")
    serverless_memory: int = Field(
        0, ge=0, le=6144, description="MB of a serverless endpoint: 1024, 2048, ... 6144; 0: instances"
    )
    serverless_concurrency: int = Field(
        10, ge=1, le=200, description="Requests that a serverless endpoint answers at a time"
    )
    max_instance_count: int = Field(
        0, ge=0, le=100, description="Instances that autoscaling may go up to from 'initial_instance_count'; 0: none"
    )
    invocations_per_instance: int = Field(
        1000, ge=1, le=10_000_000, description="Requests a minute of an instance that autoscaling aims at"
    )
    data_capture_s3_uri: str = Field("", description="s3:// URI to record requests and answers to; '': none")
    data_capture_percent: int = Field(100, ge=1, le=100, description="Requests that are recorded, percent")
    keep_versions: int = Field(
        3, ge=1, le=100, description="Models and endpoint configs of the endpoint that are kept, the live one included"
    )

    @field_validator("endpoint_name")
    @classmethod
    def _is_endpoint_name(cls, value: str) -> str:
        return checked_endpoint_name(value)

    @field_validator("endpoint_instance_type")
    @classmethod
    def _is_instance_type(cls, value: str) -> str:
        return _checked_instance_type(value)

    @field_validator("data_capture_s3_uri")
    @classmethod
    def _captures_to_s3(cls, value: str) -> str:
        return _checked_s3(value)

    @field_validator("serverless_memory")
    @classmethod
    def _whole_gigabytes(cls, value: int) -> int:
        if value % 1024:
            raise ValueError("expected 0 or a multiple of 1024 up to 6144")
        return value

    @model_validator(mode="after")
    def _can_be_hosted(self) -> EndpointSettings:
        if self.serverless_memory:
            self._check_serverless()
        else:
            _check_key(self.resource_encryption_key, "endpoint_instance_type", self.endpoint_instance_type)
        if 0 < self.max_instance_count < self.initial_instance_count:
            raise ValueError(
                f"parameter 'max_instance_count' is {self.max_instance_count}: expected 0, or at least "
                f"'initial_instance_count', {self.initial_instance_count}"
            )
        own = int(self.alarm_on_errors) + int(self.max_latency > 0)
        if len(self.alarm_names()) + own > _MAX_ALARMS:
            raise ValueError(f"parameter 'alarms': SageMaker watches {_MAX_ALARMS} at most, {own} of ours among them")
        if self.traffic_shift == "linear" and self.shift_percent < _LEAST_LINEAR_PERCENT:
            raise ValueError(
                f"parameter 'shift_percent' is {self.shift_percent}: a linear shift takes {_LEAST_LINEAR_PERCENT} to 50"
            )
        if self.shift_seconds() > LONGEST_UPDATE:
            raise ValueError(
                f"parameter 'bake_time' is {self.bake_time}: with 'traffic_shift', 'shift_percent' and "
                f"'termination_wait' an update takes {self.shift_seconds()} s, SageMaker allows {LONGEST_UPDATE}"
            )
        if self.shift_seconds() + self.startup_timeout > self.endpoint_wait_time:
            raise ValueError(
                f"parameter 'endpoint_wait_time' is {self.endpoint_wait_time}: by 'startup_timeout', 'traffic_shift', "
                f"'shift_percent', 'bake_time' and 'termination_wait' an update takes up to "
                f"{self.shift_seconds() + self.startup_timeout} s"
            )
        if (self.alarms or self.max_latency) and not self.bake_time:
            raise ValueError("parameter 'bake_time' is 0: 'alarms' and 'max_latency' are watched for that time")
        return self

    def _check_serverless(self) -> None:
        """
        https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
        """
        refused = {
            "vpc_subnets": bool(self.vpc_subnets),
            "network_isolation": self.network_isolation,
            "data_capture_s3_uri": bool(self.data_capture_s3_uri),
            "max_instance_count": bool(self.max_instance_count),
            "resource_encryption_key": bool(self.resource_encryption_key),
        }
        if named := [name for name, is_set in refused.items() if is_set]:
            raise ValueError(
                f"parameter '{named[0]}' is {getattr(self, named[0])!r}: a serverless endpoint ('serverless_memory' is "
                f"{self.serverless_memory}) cannot have it; set it to {type(getattr(self, named[0]))()!r}"
            )
        if not self.s3_prefix:
            raise ValueError(
                "parameter 's3_prefix' is empty: a serverless endpoint loads its model from an archive, which is "
                "written there"
            )

    def shift_seconds(self) -> int:
        """Seconds that an update waits while it shifts the traffic, and then before it ends the old instances."""
        steps = {"all_at_once": 1, "canary": 2, "linear": -(-100 // self.shift_percent)}[self.traffic_shift]
        return steps * self.bake_time + self.termination_wait

    def alarm_names(self) -> list[str]:
        """The alarms that are given by name."""
        return _split(self.alarms)


def checked_run_id(value: str) -> str:
    """A run's id, which becomes the value of a tag.

    Raises:
        ValueError: if it cannot.
    """
    if not _TAG_TEXT.fullmatch(value):
        raise ValueError("expected letters, digits, spaces and _.:/=+-@, 256 at most")
    return value


def checked_endpoint_name(value: str) -> str:
    """The name of an endpoint, or '' for none.

    Raises:
        ValueError: if SageMaker has no such names.
    """
    if value and not _ENDPOINT_NAME.fullmatch(value):
        raise ValueError("expected 1 to 63 letters, digits and hyphens, a hyphen neither first nor last")
    return value


def check_notify(value: str) -> None:
    """
    Raises:
        ValueError: if a value of the parameter 'notify' is nobody who can be told.
    """
    if value and not _TOPIC.fullmatch(value) and not _URL.fullmatch(value):
        raise ValueError(f"parameter 'notify': {_WHOM}")  # without the value, which may hold a secret


def _check_key(key: str, parameter: str, instance_type: str) -> None:
    if key and _LOCAL_STORAGE.fullmatch(instance_type):
        raise ValueError(
            f"parameter 'resource_encryption_key' is '{key}': the storage of {instance_type} ('{parameter}') is local, "
            "and encrypted by AWS with no key of one's own; leave it empty"
        )


def _checked_role(value: str) -> str:
    if not _ROLE_ARN.fullmatch(value):
        raise ValueError("expected the ARN of an IAM role, such as arn:aws:iam::123456789012:role/NAME")
    return value


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
