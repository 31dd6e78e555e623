"""Request of a training job of any image.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ncf.sagemaker.jobs.plan import Plan
from ncf.sagemaker.training.kind import TRAINING
from ncf.sagemaker.training.settings import TrainingSettings

CALLS = ("sagemaker:CreateTrainingJob",)
"""AWS calls of this module, from which the IAM permissions are generated."""

CHECKPOINT_FOLDER = "/opt/ml/checkpoints"
_TIMEOUTS: Mapping[str, str] = {"MaxRuntimeExceeded": "max_run_time", "MaxWaitTimeExceeded": "max_wait_time"}
"""Secondary status of a job that has reached a time limit -> the parameter of the limit."""

PARAMETERS: Mapping[str, str] = {
    "TrainingJobName": "job_prefix",
    "RoleArn": "role",
    "AlgorithmSpecification.TrainingImage": "train_image",
    "AlgorithmSpecification.MetricDefinitions": "metric_definitions",
    "AlgorithmSpecification.ContainerEntrypoint": "container_entrypoint",
    "AlgorithmSpecification.ContainerArguments": "container_arguments",
    "Environment": "environment",
    "HyperParameters": "hyperparameters",
    "InputDataConfig": "channels",
    "OutputDataConfig": "s3_prefix",
    "OutputDataConfig.KmsKeyId": "output_encryption_key",
    "CheckpointConfig": "checkpoint_s3_uri",
    "ResourceConfig.InstanceType": "instance_type",
    "ResourceConfig.InstanceCount": "instance_count",
    "ResourceConfig.VolumeSizeInGB": "volume_size",
    "ResourceConfig.VolumeKmsKeyId": "resource_encryption_key",
    "ResourceConfig.KeepAlivePeriodInSeconds": "keep_alive_period",
    "StoppingCondition.MaxRuntimeInSeconds": "max_run_time",
    "StoppingCondition.MaxWaitTimeInSeconds": "max_wait_time",
    "VpcConfig.Subnets": "vpc_subnets",
    "VpcConfig.SecurityGroupIds": "vpc_security_group_ids",
    "Tags": "tags",
}


@dataclass(frozen=True)
class TrainingPlan(Plan):
    """A training job of any image.

    Attributes:
        hyperparameters: as strings, as SageMaker requires.
        channels: S3 URI of each input channel, or its entry in the form of the API.
        output: S3 URI under which the job writes ``<job>/output/model/``.
        image: of the job.
        environment: variables of the program.
        metrics: name -> regular expression of the metrics in the log.
        entrypoint: replaces that of the image; empty for the image's own.
        arguments: of the entrypoint; empty for ``train``.
        is_compressed: whether the model becomes a ``model.tar.gz``.
        input_mode: of the channels.
    """

    kind = TRAINING
    operation = "create_training_job"
    parameters = PARAMETERS
    verb = "training"
    priced_as = "Training"

    settings: TrainingSettings
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Any]
    output: str
    image: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    arguments: Sequence[str] = ()
    is_compressed: bool = False
    input_mode: str = "File"

    @property
    def stage(self) -> str:
        return "sagemaker-train"

    @property
    def image_parameter(self) -> tuple[str, str]:
        return "train_image", self.image

    def request(self, attempt: int) -> dict[str, Any]:
        """Arguments of CreateTrainingJob."""
        request = {
            "TrainingJobName": self.job_name(attempt),
            **self.definition(),
            "HyperParameters": dict(self.hyperparameters),
        }
        for name, content in (("ContainerEntrypoint", self.entrypoint), ("ContainerArguments", self.arguments)):
            if content:
                request["AlgorithmSpecification"][name] = list(content)
        return request | {"Tags": self.tags()}

    def definition(self) -> dict[str, Any]:
        """What a training job and the trials of a tuning job have in common."""
        settings = self.settings
        request: dict[str, Any] = {
            "RoleArn": settings.role,
            "AlgorithmSpecification": {
                "TrainingImage": self.image,
                "TrainingInputMode": self.input_mode,
                "MetricDefinitions": [{"Name": name, "Regex": regex} for name, regex in self.metrics.items()],
            },
            "OutputDataConfig": {
                "S3OutputPath": self.output,
                "CompressionType": "GZIP" if self.is_compressed else "NONE",
            },
            "ResourceConfig": {
                "InstanceType": settings.instance_type,
                "InstanceCount": settings.instance_count,
                "VolumeSizeInGB": settings.volume_size,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": settings.max_run_time},
            "EnableManagedSpotTraining": settings.spot_instance,
            "EnableNetworkIsolation": settings.network_isolation,
            "EnableInterContainerTrafficEncryption": settings.traffic_encryption,
        }
        if self.channels:
            request["InputDataConfig"] = [_channel(name, content) for name, content in self.channels.items()]
        if environment := self.variables():
            request["Environment"] = environment
        if settings.spot_instance:
            request["StoppingCondition"]["MaxWaitTimeInSeconds"] = settings.max_wait_time
        if checkpoints := self.checkpoints():
            request["CheckpointConfig"] = {"S3Uri": checkpoints, "LocalPath": CHECKPOINT_FOLDER}
        if settings.keep_alive_period:
            request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = settings.keep_alive_period
        if settings.resource_encryption_key:
            request["ResourceConfig"]["VolumeKmsKeyId"] = settings.resource_encryption_key
        if settings.output_encryption_key:
            request["OutputDataConfig"]["KmsKeyId"] = settings.output_encryption_key
        if vpc := settings.vpc_config():
            request["VpcConfig"] = vpc
        return request

    def variables(self) -> dict[str, str]:
        """Environment variables of the program."""
        return dict(self.environment)

    def written_to(self, described: Mapping[str, Any]) -> str:
        return str(described["OutputDataConfig"]["S3OutputPath"])

    def run_folder(self) -> str:
        before, is_of_run, _ = self.output.partition(f"/{self.run}/")
        return f"{before}/{self.run}" if is_of_run else ""

    def seconds(self, description: Mapping[str, Any]) -> tuple[float | None, float | None]:
        return description.get("TrainingTimeInSeconds"), description.get("BillableTimeInSeconds")

    def phase(self, description: Mapping[str, Any]) -> str:
        return str(description.get("SecondaryStatus", ""))

    def reached_limit(self, description: Mapping[str, Any]) -> str:
        return _TIMEOUTS.get(description.get("SecondaryStatus", ""), "")

    def checkpoints(self) -> str:
        """S3 URI of the checkpoints, which all attempts of the run share; '' for none."""
        parent = self.settings.checkpoint_s3_uri
        if not parent and self.settings.spot_instance:
            parent = f"{self.run_folder() or self.output}/checkpoints"
        return f"{parent}/{self.name}" if parent else ""


def model_uri(description: Mapping[str, Any]) -> str:
    """S3 URI of a completed job's model."""
    return str(description["ModelArtifacts"]["S3ModelArtifacts"]).rstrip("/")


def _channel(name: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, str):
        return {"ChannelName": name, **content}
    # without the slash, the prefix would match longer names
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{content}/", "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
