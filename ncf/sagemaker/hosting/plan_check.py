"""Check of a deployment's requests against the bounds of AWS's service model."""

from __future__ import annotations

from typing import Any

from ncf.aws.bounds import check_request
from ncf.aws.session import Aws
from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan
from ncf.sagemaker.hosting.rollout import Rollout

_ALARMS = "DeploymentConfig.AutoRollbackConfiguration.Alarms"
_PARAMETERS = {
    "ModelName": "endpoint_name",
    "PrimaryContainer.Image": "deploy_image",
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
    _ALARMS: "alarms",
    "DeploymentConfig": "traffic_shift",
}
"""Path in the requests -> the parameter that it is made of."""


def check_plan(aws: Aws, plan: EndpointPlan) -> None:
    """Refuse a deployment that SageMaker would refuse. Nothing is called.

    Args:
        aws: whose service model is read.
        plan: of the deployment.

    Raises:
        InputError: naming the parameter, its value and what is accepted.
    """
    update: dict[str, Any] = {"EndpointName": plan.name, "EndpointConfigName": plan.version}
    if rollout := Rollout(aws, plan.settings, plan.name).deployment_config():
        update["DeploymentConfig"] = rollout
    requests = {
        "create_model": plan.model_request(),
        "create_endpoint_config": plan.config_request(),
        "create_endpoint": plan.endpoint_request(),
        "update_endpoint": update,
    }
    for operation, request in requests.items():
        check_request(aws, "sagemaker", operation, request, _PARAMETERS)
