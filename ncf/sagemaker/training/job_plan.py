"""Name and API request of a training job.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ncf.artifacts.provenance import IMAGE_VARIABLE, LOCATIONS, RUN_VARIABLE
from ncf.aws.bounds import check_request
from ncf.aws.names import RUN_TAG, STAGE_TAG, hashed_name, tag_list
from ncf.aws.namespace import namespace_tags
from ncf.aws.session import Aws
from ncf.sagemaker.training.settings import JobSettings
from ncf.training.log_lines import metric_definitions

_CHECKPOINT_FOLDER = "/opt/ml/checkpoints"
_MAX_ENVIRONMENT = 512
"""Characters of a value in ``Environment`` of CreateTrainingJob."""
_NOT_IN_NAME = {"job_prefix", "max_attempts", "price_per_hour", "profile", "run_id", "s3_prefix"}


_PARAMETERS = {
    "TrainingJobName": "job_prefix",
    "RoleArn": "role",
    "AlgorithmSpecification.TrainingImage": "train_image",
    "Environment.NCF_IMAGE": "train_image",
    "Environment.NCF_RUN_ID": "run_id",
    "HyperParameters": "train_overrides",
    "InputDataConfig": "s3_prefix",
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
"""Path in the request -> the parameter that it is made of."""


@dataclass(frozen=True)
class JobPlan:
    """A training job: settings, hyperparameters and S3 URIs.

    Attributes:
        name: of the first attempt's job; see :func:`job_name`.
        run: that the job belongs to.
        settings: of the job.
        hyperparameters: as strings, as SageMaker requires.
        channels: S3 URI of each input channel.
        output: S3 URI under which the job writes ``<job>/output/model/``.
        origins: URI or path of each input's artifact, of which a channel may be a copy.
        image: ``train_image`` by its digest, which the manifest of the model names; '': as it is given.
    """

    name: str
    run: str
    settings: JobSettings
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, str]
    output: str
    origins: Mapping[str, str] = field(default_factory=dict)
    image: str = ""

    def job_name(self, attempt: int) -> str:
        """Name of an attempt's job. The first attempt is 1."""
        return self.name if attempt == 1 else f"{self.name}-{attempt}"

    def job_arn(self, attempt: int, region: str) -> str:
        """ARN of an attempt's job, without a call to AWS: the job is in the account of its role."""
        _, partition, _, _, account, _ = self.settings.role.split(":", 5)
        return f"arn:{partition}:sagemaker:{region}:{account}:training-job/{self.job_name(attempt).lower()}"

    def request(self, attempt: int) -> dict[str, Any]:
        """Arguments of CreateTrainingJob."""
        settings, image = self.settings, self.image or self.settings.train_image
        request: dict[str, Any] = {
            "TrainingJobName": self.job_name(attempt),
            "RoleArn": settings.role,
            "AlgorithmSpecification": {
                "TrainingImage": image,
                "TrainingInputMode": "File",
                "MetricDefinitions": metric_definitions(),
            },
            "HyperParameters": dict(self.hyperparameters),
            "Environment": {
                RUN_VARIABLE: self.run,
                IMAGE_VARIABLE: image,
                **self._locations(),
            },
            "InputDataConfig": [_channel(channel, uri) for channel, uri in self.channels.items()],
            "OutputDataConfig": {"S3OutputPath": self.output, "CompressionType": "NONE"},
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
        if settings.spot_instance:
            request["StoppingCondition"]["MaxWaitTimeInSeconds"] = settings.max_wait_time
        if checkpoints := self.checkpoints():
            request["CheckpointConfig"] = {"S3Uri": checkpoints, "LocalPath": _CHECKPOINT_FOLDER}
        if settings.keep_alive_period:
            request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = settings.keep_alive_period
        if settings.resource_encryption_key:
            request["ResourceConfig"]["VolumeKmsKeyId"] = settings.resource_encryption_key
        if settings.output_encryption_key:
            request["OutputDataConfig"]["KmsKeyId"] = settings.output_encryption_key
        if vpc := settings.vpc_config():
            request["VpcConfig"] = vpc
        request["Tags"] = tag_list({**settings.tags, **namespace_tags(), RUN_TAG: self.run, STAGE_TAG: "train"})
        return request

    def _locations(self) -> dict[str, str]:
        """Environment variables that say where the inputs lie. One that is too long for SageMaker is left out."""
        return {LOCATIONS[name]: uri for name, uri in self.origins.items() if uri and len(uri) <= _MAX_ENVIRONMENT}

    def check(self, aws: Aws, names: Mapping[str, str] = MappingProxyType({})) -> None:
        """Refuse a plan that SageMaker would refuse. Nothing is called.

        Args:
            aws: whose service model is read.
            names: parameter -> its name in messages, if that is another one.

        Raises:
            InputError: naming the parameter, its value and what is accepted.
        """
        parameters = {path: names.get(parameter, parameter) for path, parameter in _PARAMETERS.items()}
        check_request(aws, "CreateTrainingJob", self.request(self.settings.max_attempts), parameters)

    def run_folder(self) -> str:
        """S3 URI of the run's folder, under which KFP has a folder for each try; '' if the output is a staged copy."""
        before, is_of_run, _ = self.output.partition(f"/{self.run}/")
        return f"{before}/{self.run}" if is_of_run else ""

    def checkpoints(self) -> str:
        """S3 URI of the checkpoints, which all attempts of the run share; '' for none."""
        parent = self.settings.checkpoint_s3_uri
        if not parent and self.settings.spot_instance:
            parent = f"{self.run_folder() or self.output}/checkpoints"
        return f"{parent}/{self.name}" if parent else ""


def job_name(
    settings: JobSettings, run: str, hyperparameters: Mapping[str, str], fingerprints: Mapping[str, str]
) -> str:
    """Name of a run's first job. A retry of the run has the same name, although KFP changes its output URIs.

    Args:
        settings: all count, except those of the staging, the retries and the cost estimate; the prefix of the name.
        run: ID of the run.
        hyperparameters: as strings.
        fingerprints: of the inputs' contents.
    """
    identity = {
        "run": run,
        "task": "train",
        "settings": settings.model_dump(mode="json", include=set(JobSettings.model_fields) - _NOT_IN_NAME),
        "hyperparameters": dict(hyperparameters),
        "inputs": dict(fingerprints),
    }
    return hashed_name(settings.job_prefix, identity)


def _channel(name: str, uri: str) -> dict[str, Any]:
    # without the slash, the prefix would match longer names
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{uri}/", "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
