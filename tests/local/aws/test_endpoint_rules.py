"""What AWS refuses of endpoints, and what it shows late."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import ROLE, client, put_model, settle, tar_gz

from components.local.aws import LocalAws

IN_PROGRESS = r'ValidationException.*Cannot update in-progress endpoint "arn:aws:sagemaker:us-east-1:\d+:endpoint/'


def put_config(aws: LocalAws, name: str, model: str, **variant: Any) -> str:
    kind = variant or {"InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}
    client(aws, "sagemaker").create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{"VariantName": "main", "ModelName": model, **kind}]
    )
    return name


def serve(aws: LocalAws, name: str, config: str = "") -> Any:
    sagemaker = client(aws, "sagemaker")
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config or put_model(aws, name, "x"))
    assert settle(sagemaker, name)["EndpointStatus"] == "InService"
    return sagemaker


def target(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def targets(aws: LocalAws, endpoint: str) -> list[Any]:
    found = client(aws, "application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target(endpoint)["ResourceId"]]
    )
    return list(found["ScalableTargets"])


def test_an_endpoint_in_progress_is_neither_updated_nor_deleted(aws: LocalAws, sagemaker: Any) -> None:
    config = put_model(aws, "busy-1", "x")
    aws.faults.add("hold", "in-progress", state="Creating", seconds=0.5)
    sagemaker.create_endpoint(EndpointName="in-progress", EndpointConfigName=config)
    with pytest.raises(ClientError, match=IN_PROGRESS):
        sagemaker.delete_endpoint(EndpointName="in-progress")
    settle(sagemaker, "in-progress")
    other = put_model(aws, "busy-2", "y")
    aws.faults.add("hold", "in-progress", state="Updating", seconds=0.5)
    sagemaker.update_endpoint(EndpointName="in-progress", EndpointConfigName=other)
    described = sagemaker.describe_endpoint(EndpointName="in-progress")
    assert described["EndpointConfigName"] == config, "the one in service"
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == other
    for refused in ("delete", "update"):
        with pytest.raises(ClientError, match=IN_PROGRESS):
            getattr(sagemaker, f"{refused}_endpoint")(
                EndpointName="in-progress", **({"EndpointConfigName": other} if refused == "update" else {})
            )
    assert "PendingDeploymentSummary" not in settle(sagemaker, "in-progress")
    sagemaker.delete_endpoint(EndpointName="in-progress")


def test_a_scalable_target_keeps_its_instance_type(aws: LocalAws) -> None:
    sagemaker, scaling = serve(aws, "target"), client(aws, "application-autoscaling")
    scaling.register_scalable_target(**target("target"), MinCapacity=1, MaxCapacity=2)
    same = put_config(aws, "target-same", "target")
    sagemaker.update_endpoint(EndpointName="target", EndpointConfigName=same)
    settle(sagemaker, "target")
    other = put_config(aws, "target-other", "target", InstanceType="ml.m5.large", InitialInstanceCount=1)
    with pytest.raises(ClientError, match="because of the following scalable target registered: deregister"):
        sagemaker.update_endpoint(EndpointName="target", EndpointConfigName=other)
    scaling.deregister_scalable_target(**target("target"))
    sagemaker.update_endpoint(EndpointName="target", EndpointConfigName=other)
    assert settle(sagemaker, "target")["EndpointConfigName"] == other


def test_deletion_of_an_endpoint_deregisters_its_target(aws: LocalAws) -> None:
    sagemaker, scaling = serve(aws, "gone"), client(aws, "application-autoscaling")
    scaling.register_scalable_target(**target("gone"), MinCapacity=1, MaxCapacity=2)
    sagemaker.delete_endpoint(EndpointName="gone")
    assert targets(aws, "gone") == []


def test_a_target_that_is_deregistered_loses_its_policies(aws: LocalAws) -> None:
    serve(aws, "policies")
    scaling = client(aws, "application-autoscaling")
    scaling.register_scalable_target(**target("policies"), MinCapacity=1, MaxCapacity=2)
    tracking = {
        "TargetValue": 5.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    policy = {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": tracking}
    scaling.put_scaling_policy(**target("policies"), PolicyName="theirs", **policy)
    scaling.deregister_scalable_target(**target("policies"))
    scaling.register_scalable_target(**target("policies"), MinCapacity=1, MaxCapacity=2)
    assert scaling.describe_scaling_policies(**target("policies"))["ScalingPolicies"] == []


def test_burstable_and_absent_variants_cannot_be_scaled(aws: LocalAws) -> None:
    scaling = client(aws, "application-autoscaling")
    put_model(aws, "burst", "x")
    serve(aws, "burst", put_config(aws, "burst-t2", "burst", InstanceType="ml.t2.medium", InitialInstanceCount=1))
    for endpoint, words in (("burst", "not supported for ml.t2.medium"), ("nobody", "does not exist")):
        with pytest.raises(ClientError, match=words):
            scaling.register_scalable_target(**target(endpoint), MinCapacity=1, MaxCapacity=2)
        assert targets(aws, endpoint) == []


def test_a_serverless_endpoint_has_no_guardrails_and_instances_do_not_become_serverless(aws: LocalAws) -> None:
    sagemaker = serve(aws, "instances")
    client(aws, "s3").put_object(Bucket="bucket", Key="less.tar.gz", Body=tar_gz("text", b"packed"))
    container = {"Image": "ncf-deploy", "ModelDataUrl": "s3://bucket/less.tar.gz"}
    sagemaker.create_model(ModelName="less", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    serverless = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    configs = [put_config(aws, f"less-{number}", "less", **serverless) for number in (1, 2)]
    with pytest.raises(ClientError, match="instances to a serverless endpoint is not supported"):
        sagemaker.update_endpoint(EndpointName="instances", EndpointConfigName=configs[0])
    serve(aws, "serverless", configs[0])
    policy = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
    update = {"EndpointName": "serverless", "EndpointConfigName": configs[1]}
    with pytest.raises(ClientError, match="DeploymentConfig is not supported for serverless"):
        sagemaker.update_endpoint(**update, DeploymentConfig={"BlueGreenUpdatePolicy": policy})
    sagemaker.update_endpoint(**update)
    assert settle(sagemaker, "serverless")["EndpointConfigName"] == configs[1]


def test_what_was_just_made_is_seen_late(aws: LocalAws, sagemaker: Any) -> None:
    source = {"S3Uri": "s3://bucket/models/late/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "ncf-deploy", "ModelDataSource": {"S3DataSource": source}}
    client(aws, "s3").put_object(Bucket="bucket", Key="models/late/text", Body=b"x")
    sagemaker.create_model(ModelName="late", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    aws.faults.add("late", "CreateEndpointConfig")
    with pytest.raises(ClientError, match='ValidationException.*Could not find model "arn'):
        put_config(aws, "late", "late")
    config = put_config(aws, "late", "late")
    for operation, call in (("CreateEndpoint", "create_endpoint"), ("UpdateEndpoint", "update_endpoint")):
        aws.faults.add("late", operation)
        aws.faults.add("late", "DescribeEndpoint")
        aws.faults.add("hold", "late", state="Creating" if "create" in call else "Updating", seconds=0.5)
        with pytest.raises(ClientError, match='ValidationException.*Could not find endpoint configuration "arn'):
            getattr(sagemaker, call)(EndpointName="late", EndpointConfigName=config)
        getattr(sagemaker, call)(EndpointName="late", EndpointConfigName=config)
        if "create" in call:
            with pytest.raises(ClientError, match='Could not find endpoint "arn'):
                sagemaker.describe_endpoint(EndpointName="late")
        else:
            assert sagemaker.describe_endpoint(EndpointName="late")["EndpointStatus"] == "InService"
        assert sagemaker.describe_endpoint(EndpointName="late")["EndpointStatus"] in ("Creating", "Updating")
        settle(sagemaker, "late")
        config = put_config(aws, "late-2", "late") if "create" in call else config


def test_arns_are_in_lower_case_and_names_differ_by_more_than_case(aws: LocalAws, sagemaker: Any) -> None:
    serve(aws, "Capital")
    described = sagemaker.describe_endpoint(EndpointName="Capital")
    assert (described["EndpointName"], described["EndpointArn"][-8:]) == ("Capital", "/capital")
    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        sagemaker.create_endpoint(EndpointName="capital", EndpointConfigName="Capital")


def test_instances_have_random_ids(aws: LocalAws) -> None:
    for name in ("ids-1", "ids-2"):
        serve(aws, name)
    streams = {
        stream["logStreamName"]
        for name in ("ids-1", "ids-2")
        for stream in client(aws, "logs").describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{name}")[
            "logStreams"
        ]
    }
    assert len({name[:15] for name in streams}) == 2, "they do not begin alike, as times would"
    assert all(re.fullmatch(r"main/i-[0-9a-f]{17}", name) for name in streams)
