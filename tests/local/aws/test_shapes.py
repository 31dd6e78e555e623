"""What the stand-in answers has the shape that AWS's service model gives, for every operation that is its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from local_jobs import ROLE, assert_shape, client, finish, put_model, request, settle
from model_packages import PACKAGE_ARN, package_request

from components.local.aws import LocalAws
from components.local.aws.api import OPERATIONS

JOB, NAME = "shapes-job", "shapes"
ARN = "arn:aws:sagemaker:us-east-1:123456789012:model/shapes"
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/captured",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
VARIANT = {"VariantName": "main", "ModelName": NAME, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
TRANSFORM = {
    "TransformJobName": JOB,
    "ModelName": NAME,
    "TransformInput": {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/"}},
        "ContentType": "application/json",
        "SplitType": "Line",
    },
    "TransformOutput": {"S3OutputPath": "s3://bucket/shapes-out", "Accept": "application/json", "AssembleWith": "Line"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    "BatchStrategy": "SingleRecord",
    "MaxPayloadInMB": 1,
    "MaxConcurrentTransforms": 2,
    "ModelClientConfig": {"InvocationsMaxRetries": 0},
    "Environment": {"NCF_A": "b"},
    "Tags": [{"Key": "k", "Value": "v"}],
}
ROUTING = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}

_SOURCE = {"S3Uri": "s3://bucket/data/", "S3DataType": "S3Prefix", "LocalPath": "/opt/ml/processing/input/data"}
_TARGET = {"S3Uri": "s3://bucket/out", "LocalPath": "/opt/ml/processing/output/a", "S3UploadMode": "EndOfJob"}
PROCESSING = {
    "ProcessingJobName": JOB,
    "RoleArn": ROLE,
    "AppSpecification": {"ImageUri": "ncf-train", "ContainerEntrypoint": ["a"], "ContainerArguments": ["b"]},
    "ProcessingInputs": [{"InputName": "data", "S3Input": _SOURCE}],
    "ProcessingOutputConfig": {"Outputs": [{"OutputName": "a", "S3Output": _TARGET}]},
    "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "NetworkConfig": {"EnableNetworkIsolation": True},
    "Environment": {"NCF_A": "b"},
    "Tags": [{"Key": "k", "Value": "v"}],
}
_TRIAL = {key: value for key, value in request(JOB).items() if key not in ("TrainingJobName", "HyperParameters")}
TUNING = {
    "HyperParameterTuningJobName": JOB,
    "HyperParameterTuningJobConfig": {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
        "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "mode", "Values": ["train"]}]},
    },
    "TrainingJobDefinition": {
        **_TRIAL,
        "AlgorithmSpecification": {
            **_TRIAL["AlgorithmSpecification"],
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
        },
        "StaticHyperParameters": {"epochs": "1"},
    },
    "Tags": [{"Key": "k", "Value": "v"}],
}

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("CreateProcessingJob", PROCESSING),
    ("DescribeProcessingJob", {"ProcessingJobName": JOB}),
    ("ListProcessingJobs", {"NameContains": JOB, "MaxResults": 1}),
    ("StopProcessingJob", {"ProcessingJobName": JOB}),
    ("DescribeProcessingJob", {"ProcessingJobName": JOB}),
    ("CreateHyperParameterTuningJob", TUNING),
    ("DescribeHyperParameterTuningJob", {"HyperParameterTuningJobName": JOB}),
    ("ListHyperParameterTuningJobs", {"NameContains": JOB, "MaxResults": 1}),
    ("ListTrainingJobsForHyperParameterTuningJob", {"HyperParameterTuningJobName": JOB}),
    ("StopHyperParameterTuningJob", {"HyperParameterTuningJobName": JOB}),
    ("DescribeHyperParameterTuningJob", {"HyperParameterTuningJobName": JOB}),
    ("CreateTrainingJob", request(JOB)),
    ("DescribeTrainingJob", {"TrainingJobName": JOB}),
    ("ListTrainingJobs", {"NameContains": JOB, "MaxResults": 1}),
    ("StopTrainingJob", {"TrainingJobName": "shapes-waiting"}),
    ("CreateTransformJob", TRANSFORM),
    ("DescribeTransformJob", {"TransformJobName": JOB}),
    ("ListTransformJobs", {"NameContains": JOB, "MaxResults": 1}),
    ("StopTransformJob", {"TransformJobName": JOB}),
    ("DescribeTransformJob", {"TransformJobName": JOB}),
    ("CreateModel", {"ModelName": "shapes-2", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "ncf-deploy"}}),
    ("DescribeModel", {"ModelName": NAME}),
    ("ListModels", {"MaxResults": 1}),
    (
        "CreateEndpointConfig",
        {"EndpointConfigName": "shapes-2", "ProductionVariants": [VARIANT], "DataCaptureConfig": CAPTURE},
    ),
    ("DescribeEndpointConfig", {"EndpointConfigName": "shapes-2"}),
    ("ListEndpointConfigs", {"NameContains": NAME}),
    ("CreateEndpoint", {"EndpointName": NAME, "EndpointConfigName": "shapes-2"}),
    ("DescribeEndpoint", {"EndpointName": NAME}),
    (
        "UpdateEndpoint",
        {"EndpointName": NAME, "EndpointConfigName": NAME, "DeploymentConfig": {"BlueGreenUpdatePolicy": ROUTING}},
    ),
    ("DescribeEndpoint", {"EndpointName": NAME}),
    (
        "UpdateEndpointWeightsAndCapacities",
        {
            "EndpointName": NAME,
            "DesiredWeightsAndCapacities": [{"VariantName": "main", "DesiredInstanceCount": 2}],
        },
    ),
    ("ListEndpoints", {"NameContains": NAME}),
    ("CreateModelPackageGroup", {"ModelPackageGroupName": NAME, "Tags": [{"Key": "k", "Value": "v"}]}),
    ("DescribeModelPackageGroup", {"ModelPackageGroupName": NAME}),
    ("ListModelPackageGroups", {"MaxResults": 1}),
    ("CreateModelPackage", package_request(NAME, ClientToken="shapes")),
    ("DescribeModelPackage", {"ModelPackageName": f"{PACKAGE_ARN}/{NAME}/1"}),
    ("UpdateModelPackage", {"ModelPackageArn": f"{PACKAGE_ARN}/{NAME}/1", "ModelApprovalStatus": "Approved"}),
    ("DescribeModelPackage", {"ModelPackageName": f"{PACKAGE_ARN}/{NAME}/1"}),
    ("ListModelPackages", {"ModelPackageGroupName": NAME}),
    ("DeleteModelPackage", {"ModelPackageName": f"{PACKAGE_ARN}/{NAME}/1"}),
    ("DeleteModelPackageGroup", {"ModelPackageGroupName": NAME}),
    ("AddTags", {"ResourceArn": ARN, "Tags": [{"Key": "a", "Value": "b"}]}),
    ("ListTags", {"ResourceArn": ARN}),
    ("DeleteTags", {"ResourceArn": ARN, "TagKeys": ["a"]}),
    ("DeleteEndpoint", {"EndpointName": NAME}),
    ("DeleteEndpointConfig", {"EndpointConfigName": "shapes-2"}),
    ("DeleteModel", {"ModelName": "shapes-2"}),
)


def method(service: Any, operation: str) -> Callable[..., Any]:
    names = {api: name for name, api in service.meta.method_to_api_mapping.items()}
    found: Callable[..., Any] = getattr(service, names[operation])
    return found


def checked(service: Any, operation: str, given: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = method(service, operation)(**given)
    answer.pop("ResponseMetadata")
    shape = service.meta.service_model.operation_model(operation).output_shape
    if shape is None:
        assert answer == {}
    else:
        assert_shape(answer, shape)
        assert not ParamValidator().validate(answer, shape).has_errors()
    return answer


def test_every_operation_answers_in_the_shape_of_the_service_model(aws: LocalAws, sagemaker: Any) -> None:
    assert {operation for operation, _ in CALLS} == OPERATIONS
    put_model(aws, NAME, "x")
    aws.faults.add("hold", JOB, state="InProgress", seconds=60, times=2)
    sagemaker.create_training_job(**request("shapes-waiting", "wait"))
    for operation, given in CALLS:
        checked(sagemaker, operation, given)
        if operation == "CreateTrainingJob":
            assert finish(sagemaker, JOB)["TrainingJobStatus"] == "Completed"
        if operation in ("CreateEndpoint", "UpdateEndpoint"):
            settle(sagemaker, NAME)


def test_what_is_found_by_tags_has_its_shape(aws: LocalAws, sagemaker: Any) -> None:
    for number in range(3):
        tags = [{"Key": "ncf:run", "Value": "shapes"}]
        sagemaker.create_model(
            ModelName=f"tagged-{number}", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "ncf-deploy"}, Tags=tags
        )
    tagging = client(aws, "resourcegroupstaggingapi")
    given = {"TagFilters": [{"Key": "ncf:run", "Values": ["shapes"]}], "ResourceTypeFilters": ["sagemaker:model"]}
    answer = checked(tagging, "GetResources", given)
    assert [entry["ResourceARN"].split("/")[-1] for entry in answer["ResourceTagMappingList"]] == [
        f"tagged-{number}" for number in range(3)
    ]
    pages = tagging.get_paginator("get_resources").paginate(**given, ResourcesPerPage=2)
    assert [len(page["ResourceTagMappingList"]) for page in pages] == [2, 1]
    assert checked(client(aws, "pricing"), "GetProducts", {"ServiceCode": "AmazonSageMaker"})["PriceList"] == []


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("DescribeTrainingJob", {"TrainingJobName": "none"}),
        ("DescribeTransformJob", {"TransformJobName": "none"}),
        ("DescribeProcessingJob", {"ProcessingJobName": "none"}),
        ("DescribeHyperParameterTuningJob", {"HyperParameterTuningJobName": "none"}),
        ("CreateTransformJob", {**TRANSFORM, "ModelName": "none"}),
        ("DescribeEndpoint", {"EndpointName": "none"}),
        ("DeleteModel", {"ModelName": "none"}),
        ("UpdateEndpoint", {"EndpointName": "none", "EndpointConfigName": "none"}),
    ],
)
def test_what_is_not_there_is_refused_as_sagemaker_does(sagemaker: Any, operation: str, given: Any) -> None:
    with pytest.raises(ClientError, match=r"Could not find|not found") as refused:
        method(sagemaker, operation)(**given)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
