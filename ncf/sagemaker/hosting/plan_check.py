"""Check of a deployment's requests against the bounds of AWS's service model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ncf.aws.bounds import check_request
from ncf.aws.session import Aws
from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan

_PARAMETERS = {
    "ModelName": "endpoint_name",
    "PrimaryContainer.Image": "deploy_image",
    "PrimaryContainer.ModelPackageName": "package",
    "PrimaryContainer.ModelDataUrl": "s3_prefix",
    "PrimaryContainer.ModelDataSource": "s3_prefix",
    "ExecutionRoleArn": "role",
    "VpcConfig.Subnets": "vpc_subnets",
    "VpcConfig.SecurityGroupIds": "vpc_security_group_ids",
    "Tags": "tags",
    "EndpointName": "endpoint_name",
    "EndpointConfigName": "endpoint_name",
    "KmsKeyId": "resource_encryption_key",
    "ProductionVariants.InstanceType": "endpoint_instance_type",
    "ProductionVariants.InitialInstanceCount": "initial_instance_count",
    "ProductionVariants.ContainerStartupHealthCheckTimeoutInSeconds": "startup_timeout",
    "ProductionVariants.ServerlessConfig.MemorySizeInMB": "serverless_memory",
    "ProductionVariants.ServerlessConfig.MaxConcurrency": "serverless_concurrency",
    "DataCaptureConfig.DestinationS3Uri": "data_capture_s3_uri",
    "DataCaptureConfig.InitialSamplingPercentage": "data_capture_percent",
    "DeploymentConfig": "alarms",
}
"""Path in the requests -> the parameter that it is made of."""


def check_plan(aws: Aws, plan: EndpointPlan, names: Mapping[str, str] = MappingProxyType({})) -> None:
    """Refuse a deployment that SageMaker would refuse. Nothing is called.

    Args:
        aws: whose service model is read.
        plan: of the deployment.
        names: parameter -> its name in messages, if that is another one.

    Raises:
        InputError: naming the parameter, its value and what is accepted.
    """
    alarms = [{"AlarmName": name} for name in plan.settings.alarm_names()]
    rollback = {"DeploymentConfig": {"AutoRollbackConfiguration": {"Alarms": alarms}}} if alarms else {}
    requests: dict[str, dict[str, Any]] = {
        "CreateModel": plan.model_request(),
        "CreateEndpointConfig": plan.config_request(),
        "CreateEndpoint": {**plan.endpoint_request(), **rollback},
    }
    parameters = {path: names.get(parameter, parameter) for path, parameter in _PARAMETERS.items()}
    for operation, request in requests.items():
        check_request(aws, operation, request, parameters)
