"""Request of a processing job.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncf.sagemaker.jobs.inputs import Source, Target
from ncf.sagemaker.jobs.plan import Plan, elapsed
from ncf.sagemaker.processing.kind import PROCESSING
from ncf.sagemaker.processing.settings import OUTPUTS, ProcessingSettings

CALLS = ("sagemaker:CreateProcessingJob",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_FOLDER = "/opt/ml/processing"
"""Folder of all inputs and outputs in the container."""


@dataclass(frozen=True)
class ProcessingPlan(Plan):
    """A processing job.

    Attributes:
        inputs: by name.
        outputs: by name.
        image: of the job.
        environment: variables of the program.
        entrypoint: replaces that of the image; empty for the image's own.
        arguments: of the entrypoint.
    """

    kind = PROCESSING
    operation = "create_processing_job"
    verb = "processing"
    priced_as = "Processing"
    parameters = {
        "ProcessingJobName": "job_prefix",
        "RoleArn": "role",
        "AppSpecification.ImageUri": "process_image",
        "AppSpecification.ContainerEntrypoint": "container_entrypoint",
        "AppSpecification.ContainerArguments": "container_arguments",
        "Environment": "environment",
        "ProcessingInputs": "input_config",
        "ProcessingOutputConfig.Outputs": "output_config",
        "ProcessingOutputConfig.KmsKeyId": "output_encryption_key",
        "ProcessingResources.ClusterConfig.InstanceType": "instance_type",
        "ProcessingResources.ClusterConfig.InstanceCount": "instance_count",
        "ProcessingResources.ClusterConfig.VolumeSizeInGB": "volume_size",
        "ProcessingResources.ClusterConfig.VolumeKmsKeyId": "resource_encryption_key",
        "StoppingCondition.MaxRuntimeInSeconds": "max_run_time",
        "NetworkConfig.VpcConfig.Subnets": "vpc_subnets",
        "NetworkConfig.VpcConfig.SecurityGroupIds": "vpc_security_group_ids",
        "Tags": "tags",
    }

    settings: ProcessingSettings
    inputs: Mapping[str, Source]
    outputs: Mapping[str, Target]
    image: str
    environment: Mapping[str, str]
    entrypoint: Sequence[str] = ()
    arguments: Sequence[str] = ()

    @property
    def stage(self) -> str:
        return "sagemaker-process"

    @property
    def image_parameter(self) -> tuple[str, str]:
        return "process_image", self.image

    def request(self, attempt: int) -> dict[str, Any]:
        """Arguments of CreateProcessingJob."""
        settings = self.settings
        application: dict[str, Any] = {"ImageUri": self.image}
        for name, content in (("ContainerEntrypoint", self.entrypoint), ("ContainerArguments", self.arguments)):
            if content:
                application[name] = list(content)
        cluster: dict[str, Any] = {
            "InstanceType": settings.instance_type,
            "InstanceCount": settings.instance_count,
            "VolumeSizeInGB": settings.volume_size,
        }
        if settings.resource_encryption_key:
            cluster["VolumeKmsKeyId"] = settings.resource_encryption_key
        outputs: dict[str, Any] = {"Outputs": [_output(name, target) for name, target in self.outputs.items()]}
        if settings.output_encryption_key:
            outputs["KmsKeyId"] = settings.output_encryption_key
        network: dict[str, Any] = {
            "EnableNetworkIsolation": settings.network_isolation,
            "EnableInterContainerTrafficEncryption": settings.traffic_encryption,
        }
        if vpc := settings.vpc_config():
            network["VpcConfig"] = vpc
        return {
            "ProcessingJobName": self.job_name(attempt),
            "RoleArn": settings.role,
            "AppSpecification": application,
            "Environment": dict(self.environment),
            "ProcessingInputs": [_input(name, source) for name, source in self.inputs.items()],
            "ProcessingOutputConfig": outputs,
            "ProcessingResources": {"ClusterConfig": cluster},
            "StoppingCondition": {"MaxRuntimeInSeconds": settings.max_run_time},
            "NetworkConfig": network,
            "Tags": self.tags(),
        }

    def written_to(self, described: Mapping[str, Any]) -> str:
        return output_uris(described).get(OUTPUTS[0], "")

    def seconds(self, description: Mapping[str, Any]) -> tuple[float | None, float | None]:
        seconds = elapsed(description.get("ProcessingStartTime"), description.get("ProcessingEndTime"))
        return seconds, seconds


def output_uris(described: Mapping[str, Any]) -> dict[str, str]:
    """S3 URI of each output, by a request or a description of a job."""
    outputs = described.get("ProcessingOutputConfig", {}).get("Outputs", ())
    return {entry["OutputName"]: str(entry["S3Output"]["S3Uri"]) for entry in outputs}


def _input(name: str, source: Source) -> dict[str, Any]:
    entry = {
        **source.s3(),
        "LocalPath": source.path or f"{_FOLDER}/input/{name}",
        "S3InputMode": source.input_mode or "File",
    }
    if source.compression:
        entry["S3CompressionType"] = source.compression
    return {"InputName": name, "S3Input": entry}


def _output(name: str, target: Target) -> dict[str, Any]:
    path = target.path or f"{_FOLDER}/output/{name}"
    return {
        "OutputName": name,
        "S3Output": {"S3Uri": target.uri, "LocalPath": path, "S3UploadMode": target.mode},
    }
