"""Parameters that cannot be are refused by name, before any call."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ncf.errors import InputError
from ncf.operators.rollback import Rollback
from ncf.sagemaker.hosting.settings import EndpointSettings
from ncf.sagemaker.registry.properties import as_value
from ncf.sagemaker.settings import checked_run_id
from ncf.sagemaker.training.settings import JobSettings
from ncf.stage import parsing
from ncf.stages.evaluate import Evaluate

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
        ({"tags": {str(n): "x" for n in range(51)}}, ("tags", "51", "43")),
        ({"instance_type": "ml.p3.2xlarge", "train_image": "x/ncf-train:0.1.0"}, ("instance_type", "V100")),
        ({"tags": {"ncf:run": "x"}}, ("tags", "ncf:run")),
        ({"tags": {"a": "b?"}}, ("tags", "'a'")),
        ({"tags": {"a" * 129: "b"}}, ("tags", "128 at most in a name")),
        ({"run_id": "a?"}, ("run_id",)),
        ({"resource_encryption_key": "k", "instance_type": "ml.g5.xlarge"}, ("resource_encryption_key", "ml.g5")),
        ({"job_prefix": "Team-A"}, ("job_prefix", "lower-case")),
        ({"job_prefix": ""}, ("job_prefix",)),
        ({"job_prefix": "a--b"}, ("job_prefix",)),
        ({"job_prefix": "x" * 44}, ("job_prefix", "43")),
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


def test_a_v100_runs_older_cuda() -> None:
    JobSettings(role=ROLE, instance_type="ml.p3.2xlarge", train_image="x/ncf-train:0.1.0-cu128")


SERVERLESS = {"serverless_memory": 2048, "network_isolation": False, "s3_prefix": "s3://b/x"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({**SERVERLESS, "network_isolation": True}, ("network_isolation", "serverless")),
        ({**SERVERLESS, "vpc_subnets": "a", "vpc_security_group_ids": "b"}, ("vpc_subnets", "serverless")),
        ({**SERVERLESS, "data_capture_s3_uri": "s3://b/c"}, ("data_capture_s3_uri", "serverless")),
        ({**SERVERLESS, "max_instance_count": 3}, ("max_instance_count", "serverless")),
        ({**SERVERLESS, "resource_encryption_key": "k"}, ("resource_encryption_key", "serverless")),
        ({**SERVERLESS, "alarms": "mine"}, ("alarms", "serverless")),
        ({**SERVERLESS, "max_latency": 50}, ("max_latency", "serverless")),
        ({**SERVERLESS, "traffic_shift": "canary"}, ("traffic_shift", "serverless", "all_at_once")),
        *(
            ({"max_instance_count": 3, "endpoint_instance_type": burstable}, ("max_instance_count", burstable))
            for burstable in ("ml.t2.medium", "ml.t3.xlarge", "ml.t3a.large", "ml.t4g.large")
        ),
        ({**SERVERLESS, "s3_prefix": ""}, ("s3_prefix", "archive")),
        ({**SERVERLESS, "serverless_memory": 1500}, ("serverless_memory", "1024")),
        ({"max_instance_count": 1, "initial_instance_count": 2}, ("max_instance_count", "initial_instance_count")),
        ({"alarms": ",".join("abcdefghij")}, ("alarms", "10")),
        ({"alarms": "a", "bake_time": 0}, ("bake_time",)),
        ({"traffic_shift": "linear", "shift_percent": 5}, ("shift_percent", "10")),
        ({"traffic_shift": "sudden"}, ("traffic_shift", "canary")),
        ({"traffic_shift": "linear", "bake_time": 700}, ("endpoint_wait_time", "7600")),
        (
            {"traffic_shift": "linear", "bake_time": 3600, "endpoint_wait_time": 86400},
            ("bake_time", "36000 s", "28800"),
        ),
        ({"data_capture_s3_uri": "/tmp"}, ("data_capture_s3_uri",)),
        ({"keep_versions": 0}, ("keep_versions",)),
        ({"resource_encryption_key": "k", "endpoint_instance_type": "ml.m5d.large"}, ("resource_encryption_key",)),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(given: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        EndpointSettings(**{"role": ROLE, "deploy_image": "image", **given})
    for word in words:
        assert word in str(caught.value)


def test_a_serverless_endpoint_is_accepted() -> None:
    EndpointSettings(role=ROLE, deploy_image="image", **SERVERLESS)


@pytest.mark.parametrize("name", ["-x", "x-", "a b", "x" * 64, "ü", "Shop", "shoP-1"])
def test_endpoint_names_are_checked(name: str) -> None:
    with pytest.raises(ValidationError, match="endpoint_name"):
        EndpointSettings(role=ROLE, deploy_image="image", endpoint_name=name)


def test_a_name_that_is_refused_everywhere() -> None:
    """AWS returns ARNs in lower case, from which ``ncf clean`` reads the names."""
    for refuse in (
        lambda: parsing.parse(Rollback, ["Shop"]),
        lambda: parsing.parse(Evaluate, ["--champion-endpoint", "Shop"]),
        lambda: EndpointSettings(role=ROLE, deploy_image="image", endpoint_name="Shop"),
    ):
        with pytest.raises((InputError, ValidationError), match=r"(?s)endpoint.*lowercase"):
            refuse()


def test_types_that_burst_no_more_than_others_are_scaled() -> None:
    for kind in ("ml.m5.large", "ml.trn1.2xlarge", "ml.g5.xlarge"):
        EndpointSettings(role=ROLE, deploy_image="image", max_instance_count=3, endpoint_instance_type=kind)


def test_lists_are_split() -> None:
    settings = JobSettings(**JOB, vpc_subnets="subnet-1, subnet-2", vpc_security_group_ids="sg-1")
    assert settings.vpc_config() == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert JobSettings(**JOB).vpc_config() is None


@pytest.mark.parametrize("run", ["", "run-1", "a b", "Lauf 7 ü", "a:b/c=d+e@f", "x" * 256])
def test_the_id_of_a_run_is_the_same_in_tags_and_packages(run: str) -> None:
    assert checked_run_id(run) == as_value(run) == run


@pytest.mark.parametrize("run", [" a", "a ", "a  b", "a\tb", "a\u00a0b", "a,b", "a|b", "<b>", "x" * 257])
def test_an_id_that_a_package_would_record_otherwise_is_refused(run: str) -> None:
    """A retry would not find its package, and a run would compare its model with itself."""
    with pytest.raises(ValueError, match="expected"):
        checked_run_id(run)
