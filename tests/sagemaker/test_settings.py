"""Parameters that cannot be are refused by name, before any call."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ncf.sagemaker.settings import EndpointSettings, JobSettings

ROLE = "arn:aws:iam::123456789012:role/ncf"
JOB = {"role": ROLE, "train_image": "image"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"spot_instance": True}, ("max_wait_time", "spot_instance", "max_run_time")),
        ({"spot_instance": True, "max_wait_time": 3599}, ("3599", "max_run_time", "3600")),
        ({"max_wait_time": 4000}, ("max_wait_time", "spot_instance")),
        ({"spot_instance": True, "max_wait_time": 3600, "keep_alive_period": 60}, ("keep_alive_period",)),
        ({"instance_type": "ml.p3.2xlarge", "train_image": "x/ncf-train:cu133"}, ("instance_type", "V100")),
        ({"instance_type": "g5.xlarge"}, ("instance_type", "ml.g5.xlarge")),
        ({"role": "ncf"}, ("role", "arn:aws:iam")),
        ({"role": ""}, ("role", "arn:aws:iam")),
        ({"assume_role": "ncf"}, ("assume_role",)),
        ({"s3_prefix": "/tmp/x"}, ("s3_prefix", "s3://BUCKET")),
        ({"s3_prefix": "s3:///x"}, ("s3_prefix",)),
        ({"checkpoint_s3_uri": "bucket/x"}, ("checkpoint_s3_uri",)),
        ({"vpc_subnets": "subnet-1"}, ("vpc_subnets", "vpc_security_group_ids")),
        ({"tags": {str(n): "x" for n in range(51)}}, ("tags", "51", "50")),
        ({"max_run_time": 0}, ("max_run_time",)),
        ({"instance_count": 0}, ("instance_count",)),
        ({"train_image": ""}, ("train_image",)),
    ],
)
def test_a_job_that_cannot_be_is_refused(given: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        JobSettings(**{**JOB, **given})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["-x", "x-", "a b", "x" * 64, "ü"])
def test_endpoint_names_are_checked(name: str) -> None:
    with pytest.raises(ValidationError, match="endpoint_name"):
        EndpointSettings(role=ROLE, deploy_image="image", endpoint_name=name)


def test_lists_are_split_and_tags_sorted() -> None:
    settings = JobSettings(
        **JOB, vpc_subnets="subnet-1, subnet-2", vpc_security_group_ids="sg-1", tags={"b": "2", "a": "1"}
    )
    assert settings.vpc_config() == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert settings.tag_list() == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    assert JobSettings(**JOB).vpc_config() is None
