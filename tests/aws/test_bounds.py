"""What AWS's service model bounds is refused by the name of its parameter, before any call."""

from __future__ import annotations

from typing import Any

import pytest
from deployments import plan as deployment
from fake_sagemaker import REGISTRY, FakeSageMaker
from launch import plan

from ncf.aws.bounds import violations
from ncf.aws.session import Aws
from ncf.errors import InputError
from ncf.sagemaker.hosting.plan_check import check_plan

ROLE = "arn:aws:iam::123456789012:role"
LONG = "x" * 300
IN_VPC = {"vpc_subnets": "subnet-1", "vpc_security_group_ids": "sg-1"}


@pytest.mark.parametrize(
    ("parameter", "value", "more", "accepted"),
    [
        ("role", f"{ROLE}/a*b", {}, "what matches"),
        ("train_image", f"{REGISTRY}/{LONG}:1", {}, "at most 255 characters"),
        ("instance_type", "ml.g5.xxlarge", {}, "one of .* values, such as .*ml.g5.xlarge"),
        ("output_encryption_key", "my key", {}, "what matches"),
        ("resource_encryption_key", "my key", {"instance_type": "ml.m5.large"}, "what matches"),
        ("checkpoint_s3_uri", f"s3://b/{LONG * 4}", {}, "at most 1024 characters"),
        ("vpc_subnets", "subnet 1", IN_VPC, "what matches"),
        ("vpc_subnets", "s" * 33, IN_VPC, "at most 32 characters"),
        ("vpc_subnets", ",".join("abcdefghijklmnopq"), IN_VPC, "at most 16 entries"),
        ("vpc_security_group_ids", ",".join("abcdef"), IN_VPC, "at most 5 entries"),
    ],
)
def test_a_job_that_aws_would_refuse(
    aws: Aws, sagemaker: FakeSageMaker, parameter: str, value: str, more: dict[str, Any], accepted: str
) -> None:
    asked = plan(**{**more, parameter: value})
    with pytest.raises(InputError, match=rf"^parameter '{parameter}' is .*: AWS accepts {accepted}"):
        asked.check(aws)
    assert sagemaker.calls == []


@pytest.mark.parametrize(
    ("parameter", "value", "more", "accepted"),
    [
        ("endpoint_instance_type", "ml.m5.little", {}, "one of .* values, such as .*ml.m5.large"),
        ("resource_encryption_key", "my key", {}, "what matches"),
        ("data_capture_s3_uri", f"s3://b/{LONG * 2}", {}, "at most 512 characters"),
        ("alarms", LONG, {}, "at most 255 characters"),
        ("vpc_subnets", "subnet_1", IN_VPC, "what matches"),
    ],
)
def test_an_endpoint_that_aws_would_refuse(
    aws: Aws, sagemaker: FakeSageMaker, parameter: str, value: str, more: dict[str, Any], accepted: str
) -> None:
    asked = deployment(**{**more, parameter: value})
    with pytest.raises(InputError, match=rf"^parameter '{parameter}' is .*: AWS accepts {accepted}"):
        check_plan(aws, asked)
    assert sagemaker.calls == []


def test_what_aws_accepts_is_accepted(aws: Aws) -> None:
    plan(tags={"Kostenträger": "é 1"}, **IN_VPC).check(aws)
    check_plan(aws, deployment(alarms="one,two", **IN_VPC))


def test_a_hyperparameter_is_bound_like_all_else(aws: Aws) -> None:
    shape = aws.client("sagemaker").meta.service_model.operation_model("CreateTrainingJob").input_shape
    request = {"HyperParameters": {"ok": "1", "long": "x" * 2501, "line": "a\nb"}}
    assert [(found.path, found.accepted) for found in violations(shape, request)] == [
        ("HyperParameters.long", "at most 2500 characters"),
        ("HyperParameters.line", "what matches .*"),
    ]
