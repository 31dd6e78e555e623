"""Parameters of an endpoint."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ncf.api.limits import MAX_USERS
from ncf.sagemaker.settings import AwsSettings, check_encryption_key, checked_instance_type, checked_s3, split_names

_ENDPOINT_NAME = re.compile(r"[a-z0-9](-*[a-z0-9]){0,62}")
_TARGET_MODEL = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")
_BURSTABLE = re.compile(r"ml\.t\d.*")
_MAX_ALARMS, _MIN_LINEAR_PERCENT = 10, 10
MAX_UPDATE_SECONDS = 28_800
"""Seconds: SageMaker's limit of DeploymentConfig.MaximumExecutionTimeoutInSeconds."""


class EndpointSettings(AwsSettings):
    """Parameters of an endpoint."""

    endpoint_name: str = Field(
        "",
        description="Endpoint to create, or to update if it exists; '': a new one, named after the run",
    )
    target_model: str = Field(
        "",
        description="Name of the model among those of a multi-model endpoint, such as a market or tenant; '': an "
        "endpoint of one model",
    )
    deploy_image: str = Field(min_length=1, description="Image of the endpoint, in ECR")
    endpoint_instance_type: str = Field("ml.m5.large", description="Type of the hosting instances")
    initial_instance_count: int = Field(1, ge=1, le=100, description="Number of hosting instances")
    startup_timeout: int = Field(
        600, ge=60, le=3600, description="Seconds for an instance to load the model and to answer /ping"
    )
    endpoint_wait_time: int = Field(
        7200, ge=60, le=86_400, description="Seconds to wait for the endpoint to be in service"
    )
    resource_encryption_key: str = Field("", description="KMS key of the instances' storage; '': AWS's own")
    smoke_test_users: int = Field(
        3,
        ge=0,
        le=MAX_USERS,
        description="Number of users that the smoke test requests recommendations for; 0: no smoke test",
    )
    traffic_shift: Literal["all_at_once", "canary", "linear"] = Field(
        "all_at_once", description="How an update shifts traffic to the new model, while alarms are watched"
    )
    shift_percent: int = Field(
        10, ge=5, le=50, description="Traffic of the first step (canary) or of each step (linear), percent"
    )
    bake_time: int = Field(
        300,
        ge=0,
        le=3600,
        description="Seconds to watch alarms after each step; CloudWatch reacts within one to three minutes",
    )
    termination_wait: int = Field(0, ge=0, le=3600, description="Seconds to keep the old instances after an update")
    alarm_on_errors: bool = Field(True, description="Whether 5xx answers roll an update back; needs bake_time")
    max_latency: int = Field(
        0, ge=0, le=60_000, description="Mean latency of a minute above which an update is rolled back, ms; 0: no limit"
    )
    alarms: str = Field("", description="Names of further CloudWatch alarms that roll an update back, comma-separated")
    serverless_memory: int = Field(
        0, ge=0, le=6144, description="MB of a serverless endpoint: 1024, 2048, ... 6144; 0: instances"
    )
    serverless_concurrency: int = Field(10, ge=1, le=200, description="Concurrent requests of a serverless endpoint")
    max_instance_count: int = Field(
        0,
        ge=0,
        le=100,
        description="Upper limit of autoscaling, from 'initial_instance_count' instances on; 0: no autoscaling, and an "
        "existing one of the endpoint is deregistered",
    )
    invocations_per_instance: int = Field(
        1000, ge=1, le=10_000_000, description="Target of autoscaling: requests per minute and instance"
    )
    data_capture_s3_uri: str = Field("", description="s3:// URI to record requests and answers to; '': none")
    data_capture_percent: int = Field(100, ge=1, le=100, description="Share of requests to record, percent")
    keep_versions: int = Field(
        3, ge=1, le=100, description="Models and endpoint configs of the endpoint that are kept, the live one included"
    )

    @field_validator("endpoint_name")
    @classmethod
    def _is_endpoint_name(cls, value: str) -> str:
        return checked_endpoint_name(value)

    @field_validator("target_model")
    @classmethod
    def _is_target_model(cls, value: str) -> str:
        return checked_target_model(value)

    @field_validator("endpoint_instance_type")
    @classmethod
    def _is_instance_type(cls, value: str) -> str:
        return checked_instance_type(value)

    @field_validator("data_capture_s3_uri")
    @classmethod
    def _captures_to_s3(cls, value: str) -> str:
        return checked_s3(value)

    @field_validator("serverless_memory")
    @classmethod
    def _whole_gigabytes(cls, value: int) -> int:
        if value % 1024:
            raise ValueError("expected 0 or a multiple of 1024 up to 6144")
        return value

    @model_validator(mode="after")
    def _can_be_hosted(self) -> EndpointSettings:
        if self.target_model:
            self._check_multi_model()
        if self.serverless_memory:
            self._check_serverless()
        else:
            check_encryption_key(self.resource_encryption_key, "endpoint_instance_type", self.endpoint_instance_type)
        if 0 < self.max_instance_count < self.initial_instance_count:
            raise ValueError(
                f"parameter 'max_instance_count' is {self.max_instance_count}: expected 0, or at least "
                f"'initial_instance_count', {self.initial_instance_count}"
            )
        if self.max_instance_count and is_burstable(self.endpoint_instance_type):
            raise ValueError(
                f"parameter 'max_instance_count' is {self.max_instance_count}: AWS does not autoscale burstable "
                f"instances ('endpoint_instance_type' is {self.endpoint_instance_type}); set it to 0, or choose a type "
                "such as ml.m5.large"
            )
        own = int(self.alarm_on_errors) + int(self.max_latency > 0)
        if len(self.alarm_names()) + own > _MAX_ALARMS:
            raise ValueError(
                f"parameter 'alarms': SageMaker accepts {_MAX_ALARMS} at most, including {own} of the endpoint's own"
            )
        if self.traffic_shift == "linear" and self.shift_percent < _MIN_LINEAR_PERCENT:
            raise ValueError(
                f"parameter 'shift_percent' is {self.shift_percent}: a linear shift takes {_MIN_LINEAR_PERCENT} to 50"
            )
        if self.shift_seconds() > MAX_UPDATE_SECONDS:
            raise ValueError(
                f"parameter 'bake_time' is {self.bake_time}: with 'traffic_shift', 'shift_percent' and "
                f"'termination_wait' an update takes {self.shift_seconds()} s, SageMaker allows {MAX_UPDATE_SECONDS}"
            )
        if self.shift_seconds() + self.startup_timeout > self.endpoint_wait_time:
            raise ValueError(
                f"parameter 'endpoint_wait_time' is {self.endpoint_wait_time}: by 'startup_timeout', 'traffic_shift', "
                f"'shift_percent', 'bake_time' and 'termination_wait' an update takes up to "
                f"{self.shift_seconds() + self.startup_timeout} s"
            )
        if (self.alarms or self.max_latency) and not self.bake_time:
            raise ValueError("parameter 'bake_time' is 0: 'alarms' and 'max_latency' are watched during that time")
        return self

    def _check_multi_model(self) -> None:
        """
        https://docs.aws.amazon.com/sagemaker/latest/dg/multi-model-endpoints.html
        """
        for name in ("endpoint_name", "s3_prefix"):
            if not getattr(self, name):
                raise ValueError(
                    f"parameter '{name}' is empty: a multi-model endpoint ('target_model' is '{self.target_model}') "
                    "has a name, and loads its models from archives, which are written to 's3_prefix'"
                )
        for name, reason in (
            ("serverless_memory", "is not serverless; set it to 0"),
            ("data_capture_s3_uri", "captures no data, as the records do not name the model; set it to ''"),
        ):
            if value := getattr(self, name):
                raise ValueError(
                    f"parameter '{name}' is {value!r}: a multi-model endpoint ('target_model' is "
                    f"'{self.target_model}') {reason}"
                )

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
            "alarms": bool(self.alarms),
            "max_latency": bool(self.max_latency),
        }
        if named := [name for name, is_set in refused.items() if is_set]:
            raise ValueError(
                f"parameter '{named[0]}' is {getattr(self, named[0])!r}: a serverless endpoint ('serverless_memory' is "
                f"{self.serverless_memory}) cannot have it; set it to {type(getattr(self, named[0]))()!r}"
            )
        if self.traffic_shift != "all_at_once":
            raise ValueError(
                f"parameter 'traffic_shift' is '{self.traffic_shift}': the traffic of a serverless endpoint "
                f"('serverless_memory' is {self.serverless_memory}) is shifted all at once; set it to 'all_at_once'"
            )
        if not self.s3_prefix:
            raise ValueError(
                "parameter 's3_prefix' is empty: a serverless endpoint loads its model from an archive, which is "
                "written there"
            )

    def shift_seconds(self) -> int:
        """Seconds that an update waits while it shifts the traffic, and then before it ends the old instances."""
        if self.serverless_memory:
            return 0
        steps = {"all_at_once": 1, "canary": 2, "linear": -(-100 // self.shift_percent)}[self.traffic_shift]
        return steps * self.bake_time + self.termination_wait

    def alarm_names(self) -> list[str]:
        """The alarms that are given by name."""
        return split_names(self.alarms)


def checked_endpoint_name(value: str) -> str:
    """The name of an endpoint, or '' for none.

    Raises:
        ValueError: if SageMaker would refuse it, or it has capital letters.
    """
    if value and not _ENDPOINT_NAME.fullmatch(value):
        raise ValueError(
            "expected 1 to 63 lowercase letters, digits and hyphens, a hyphen neither first nor last (AWS returns "
            "names in ARNs in lower case)"
        )
    return value


def checked_target_model(value: str) -> str:
    """The name of a model of a multi-model endpoint, or '' for none.

    Raises:
        ValueError: if it is not of letters, digits and hyphens.
    """
    if value and not _TARGET_MODEL.fullmatch(value):
        raise ValueError("expected 1 to 63 letters, digits and hyphens, a hyphen neither first nor last")
    return value


def is_burstable(instance_type: str) -> bool:
    """Whether instances have burstable performance, such as ml.t2.medium. AWS does not autoscale them."""
    return bool(_BURSTABLE.fullmatch(instance_type))
