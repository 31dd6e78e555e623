"""Requests and names of a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deployments import IMAGE, bring_up, plan
from fake_sagemaker import ROLE, FakeSageMaker

from ncf.aws import namespace
from ncf.aws.names import VARIANT
from ncf.aws.session import Aws


def test_the_requests_say_all_that_the_settings_say(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked = plan(
        endpoint_instance_type="ml.c5.xlarge",
        initial_instance_count=2,
        startup_timeout=120,
        resource_encryption_key="alias/volume",
        vpc_subnets="subnet-1",
        vpc_security_group_ids="sg-1",
        tags={"team": "x"},
    )
    assert bring_up(aws, asked) == "answers"
    own = {"ncf:run": "run-1", "ncf:stage": "deploy", "team": "x"}
    tags = [{"Key": key, "Value": value} for key, value in own.items()]
    tags_of_version = [{"Key": "ncf:endpoint", "Value": "shop"}, *tags]
    assert sagemaker.models == {
        asked.version: {
            "ModelName": asked.version,
            "PrimaryContainer": {
                "Image": IMAGE,
                "ModelDataSource": {
                    "S3DataSource": {
                        "S3Uri": "s3://b/model/",
                        "S3DataType": "S3Prefix",
                        "CompressionType": "None",
                    }
                },
            },
            "ExecutionRoleArn": ROLE,
            "EnableNetworkIsolation": True,
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            "Tags": tags_of_version,
        }
    }
    assert sagemaker.configs[asked.version] == {
        "EndpointConfigName": asked.version,
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": asked.version,
                "InstanceType": "ml.c5.xlarge",
                "InitialInstanceCount": 2,
                "InitialVariantWeight": 1.0,
                "ContainerStartupHealthCheckTimeoutInSeconds": 120,
            }
        ],
        "KmsKeyId": "alias/volume",
        "Tags": tags_of_version,
    }
    assert (
        "CreateEndpoint",
        {"EndpointName": "shop", "EndpointConfigName": asked.version, "Tags": tags},
    ) in (sagemaker.calls)


def test_pods_tag_all_with_their_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The roles of a cluster allow nothing to be created without the tag."""
    mounted = tmp_path / "namespace"
    mounted.write_text("team-a")
    monkeypatch.setattr(namespace, "_FILE", mounted)
    asked = plan()
    for request in (asked.model_request(), asked.config_request(), asked.endpoint_request()):
        assert {"Key": "ncf:namespace", "Value": "team-a"} in request["Tags"]


def test_a_serverless_endpoint_takes_an_archive_and_no_instances(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked = plan(serverless_memory=2048, serverless_concurrency=5, network_isolation=False, s3_prefix="s3://b/x")
    bring_up(aws, asked)
    assert sagemaker.models[asked.version]["PrimaryContainer"] == {"Image": IMAGE, "ModelDataUrl": "s3://b/model"}
    assert sagemaker.configs[asked.version]["ProductionVariants"] == [
        {
            "VariantName": VARIANT,
            "ModelName": asked.version,
            "InitialVariantWeight": 1.0,
            "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
        }
    ]


def test_requests_are_captured_where_that_is_asked_for(aws: Aws, sagemaker: FakeSageMaker) -> None:
    asked = plan(data_capture_s3_uri="s3://b/captured/", data_capture_percent=20)
    bring_up(aws, asked)
    assert sagemaker.configs[asked.version]["DataCaptureConfig"] == {
        "EnableCapture": True,
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://b/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }


def test_without_a_name_each_run_has_its_own_endpoint() -> None:
    first, again, second = (plan(run, endpoint_name="") for run in ("run-1", "run-1", "run-2"))
    assert first == again
    assert first.name != second.name
    assert len({first.version, second.version, first.name}) == 3


@pytest.mark.parametrize("changed", [{"initial_instance_count": 2}, {"deploy_image": "x"}, {"tags": {"a": "b"}}])
def test_another_setting_is_another_version(changed: dict[str, Any]) -> None:
    assert plan(**changed).version != plan().version
    assert plan(s3_prefix="s3://b/x", smoke_test_users=1).version == plan().version
    assert len(plan(endpoint_name="x" * 63).version) == 63


def test_how_to_get_there_is_no_part_of_a_version() -> None:
    how = {"traffic_shift": "canary", "bake_time": 5, "keep_versions": 9, "alarms": "x", "max_instance_count": 3}
    assert plan(**how).version == plan().version
