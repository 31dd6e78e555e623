"""Names and API requests of an endpoint's deployment.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ncf.api.requests import CONTENT_TYPE
from ncf.aws.names import (
    ENDPOINT_TAG,
    PACKAGE_TAG,
    RUN_TAG,
    STAGE_TAG,
    VARIANT,
    endpoint_of,
    hashed_name,
    tag_list,
)
from ncf.aws.namespace import namespace_tags
from ncf.sagemaker.hosting.settings import EndpointSettings

MULTI_MODEL = "MultiModel"
"""Mode of a container that hosts several models."""
_PART_OF_A_NAME = {
    "role",
    "region",
    "assume_role",
    "tags",
    "vpc_subnets",
    "vpc_security_group_ids",
    "network_isolation",
    "endpoint_name",
    "deploy_image",
    "endpoint_instance_type",
    "initial_instance_count",
    "startup_timeout",
    "resource_encryption_key",
    "serverless_memory",
    "serverless_concurrency",
    "data_capture_s3_uri",
    "data_capture_percent",
}
"""Settings that determine the model and the config. The others determine the rollout."""


@dataclass(frozen=True)
class EndpointPlan:
    """A deployment: model, endpoint and settings.

    Attributes:
        settings: of the endpoint.
        run: that the model belongs to; '' for a multi-model endpoint, which belongs to no run.
        name: of the endpoint.
        version: name of both the SageMaker model and the endpoint config.
        model: S3 URI of the model's folder; for a serverless endpoint, of its archive; for a multi-model endpoint, of
            the prefix of archives.
        package: ARN of the model package that the SageMaker model is created from; '' for none.
    """

    settings: EndpointSettings
    run: str
    name: str
    version: str
    model: str
    package: str = ""

    def model_request(self) -> dict[str, Any]:
        """Arguments of CreateModel."""
        request: dict[str, Any] = {
            "ModelName": self.version,
            "PrimaryContainer": {"ModelPackageName": self.package} if self.package else self._container(),
            "ExecutionRoleArn": self.settings.role,
            "EnableNetworkIsolation": self.settings.network_isolation,
        }
        if vpc := self.settings.vpc_config():
            request["VpcConfig"] = vpc
        return {**request, "Tags": self.tags(self._own_tags())}

    def _container(self) -> dict[str, Any]:
        if self.is_multi_model:
            return {"Image": self.settings.deploy_image, "Mode": MULTI_MODEL, "ModelDataUrl": f"{self.model}/"}
        source = {"S3Uri": f"{self.model}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        # serverless endpoints accept only archives
        data = {"ModelDataUrl": self.model} if self._is_serverless else {"ModelDataSource": {"S3DataSource": source}}
        return {"Image": self.settings.deploy_image, **data}

    def _own_tags(self) -> dict[str, str]:
        """Further tags of the model and the config."""
        return {ENDPOINT_TAG: self.name} | ({PACKAGE_TAG: self.package} if self.package else {})

    @property
    def is_multi_model(self) -> bool:
        return bool(self.settings.target_model)

    @property
    def _is_serverless(self) -> bool:
        return self.settings.serverless_memory > 0

    def config_request(self) -> dict[str, Any]:
        """Arguments of CreateEndpointConfig."""
        settings = self.settings
        variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": self.version, "InitialVariantWeight": 1.0}
        if self._is_serverless:
            variant["ServerlessConfig"] = {
                "MemorySizeInMB": settings.serverless_memory,
                "MaxConcurrency": settings.serverless_concurrency,
            }
        else:
            variant |= {
                "InstanceType": settings.endpoint_instance_type,
                "InitialInstanceCount": settings.initial_instance_count,
                "ContainerStartupHealthCheckTimeoutInSeconds": settings.startup_timeout,
            }
        request: dict[str, Any] = {"EndpointConfigName": self.version, "ProductionVariants": [variant]}
        if settings.resource_encryption_key:
            request["KmsKeyId"] = settings.resource_encryption_key
        if settings.data_capture_s3_uri:
            request["DataCaptureConfig"] = {
                "EnableCapture": True,
                "InitialSamplingPercentage": settings.data_capture_percent,
                "DestinationS3Uri": settings.data_capture_s3_uri,
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"JsonContentTypes": [CONTENT_TYPE]},
            }
        return {**request, "Tags": self.tags(self._own_tags())}

    def endpoint_request(self) -> dict[str, Any]:
        """Arguments of CreateEndpoint."""
        return {"EndpointName": self.name, "EndpointConfigName": self.version, "Tags": self.tags({})}

    def tags(self, more: Mapping[str, str]) -> list[dict[str, str]]:
        """Tags of the run's resources, in the form of the API."""
        run = {RUN_TAG: self.run} if self.run else {}
        return tag_list({**self.settings.tags, **namespace_tags(), **run, STAGE_TAG: "deploy", **more})


def names(settings: EndpointSettings, run: str, model: str) -> tuple[str, str]:
    """Name of the endpoint, and of both the model and the config. A retry of the run has the same names.

    Args:
        settings: of the endpoint.
        run: that deploys; '' for a multi-model endpoint.
        model: fingerprint of the model, or ARN of its package, whose model must keep its fingerprint; for a
            multi-model endpoint the prefix of archives.
    """
    endpoint = endpoint_of(run, settings.endpoint_name)
    identity = {
        "run": run,
        "task": "deploy",
        "settings": settings.model_dump(mode="json", include=_PART_OF_A_NAME),
        "endpoint": endpoint,
        "model": model,
    }
    return endpoint, hashed_name(endpoint, identity)


def is_multi_model(model: Mapping[str, Any]) -> bool:
    """Whether a SageMaker model hosts several models.

    Args:
        model: SageMaker's answer to DescribeModel.
    """
    return bool(model.get("PrimaryContainer", {}).get("Mode") == MULTI_MODEL)
