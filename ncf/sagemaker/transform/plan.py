"""Request of a batch transform job, and the model that it uses.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ncf.aws.bounds import check_request
from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.sagemaker.jobs.inputs import Source
from ncf.sagemaker.jobs.plan import Plan, elapsed
from ncf.sagemaker.transform.kind import TRANSFORM
from ncf.sagemaker.transform.settings import TransformProgram, TransformSettings

CALLS = ("sagemaker:CreateModel", "sagemaker:CreateTransformJob", "sagemaker:DeleteModel")
"""AWS calls of this module, from which the IAM permissions are generated."""

_MODEL_PARAMETERS = {
    "ModelName": "job_prefix",
    "ExecutionRoleArn": "role",
    "PrimaryContainer.Image": "deploy_image",
    "PrimaryContainer.ModelDataUrl": "model_uri",
    "PrimaryContainer.ModelDataSource": "model_uri",
    "VpcConfig.Subnets": "vpc_subnets",
    "VpcConfig.SecurityGroupIds": "vpc_security_group_ids",
    "Tags": "tags",
}
_ARCHIVE = ".tar.gz"


@dataclass(frozen=True)
class TransformPlan(Plan):
    """A batch transform job.

    Attributes:
        program: model, input and output.
        data: the input.
        output: S3 URI that each object's output is written under.
        image: of the model that is created.
        model: S3 URI of its data; '' for none.
    """

    kind = TRANSFORM
    operation = "create_transform_job"
    verb = "transform"
    priced_as = "Batch Transform"
    names_new = True
    parameters = {
        "TransformJobName": "job_prefix",
        "ModelName": "model_name",
        "MaxConcurrentTransforms": "max_concurrent",
        "MaxPayloadInMB": "max_payload",
        "BatchStrategy": "batch_strategy",
        "Environment": "environment",
        "ModelClientConfig.InvocationsTimeoutInSeconds": "invocations_timeout",
        "ModelClientConfig.InvocationsMaxRetries": "invocations_max_retries",
        "TransformInput.DataSource": "input_location",
        "TransformInput.ContentType": "content_type",
        "TransformOutput.Accept": "accept",
        "TransformOutput.KmsKeyId": "output_encryption_key",
        "TransformOutput.S3OutputPath": "s3_prefix",
        "TransformResources.InstanceType": "instance_type",
        "TransformResources.InstanceCount": "instance_count",
        "TransformResources.VolumeKmsKeyId": "resource_encryption_key",
        "DataProcessing.InputFilter": "input_filter",
        "DataProcessing.OutputFilter": "output_filter",
        "Tags": "tags",
    }

    settings: TransformSettings
    program: TransformProgram
    data: Source
    output: str
    image: str = ""
    model: str = ""

    @property
    def stage(self) -> str:
        return "sagemaker-transform"

    @property
    def image_parameter(self) -> tuple[str, str]:
        return ("deploy_image", self.image) if self.image else ("", "")

    @property
    def model_name(self) -> str:
        """Name of the model, which all attempts of the run share."""
        return self.program.model_name or self.name

    def request(self, attempt: int) -> dict[str, Any]:
        """Arguments of CreateTransformJob."""
        program, settings = self.program, self.settings
        optional = {
            "BatchStrategy": program.batch_strategy,
            "MaxConcurrentTransforms": program.max_concurrent,
            "Environment": dict(program.environment),
            "DataProcessing": self._data_processing(),
            "ModelClientConfig": self._client(),
        }
        return {
            "TransformJobName": self.job_name(attempt),
            "ModelName": self.model_name,
            "MaxPayloadInMB": program.max_payload,
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3Uri": self.data.uri, "S3DataType": program.data_type}},
                "CompressionType": program.compression_type,
                "SplitType": program.split_type,
                **({"ContentType": program.content_type} if program.content_type else {}),
            },
            "TransformOutput": {
                "S3OutputPath": self.output,
                **({"Accept": program.accept} if program.accept else {}),
                **({"AssembleWith": program.assemble_with} if program.assemble_with else {}),
                **({"KmsKeyId": settings.output_encryption_key} if settings.output_encryption_key else {}),
            },
            "TransformResources": {
                "InstanceType": settings.instance_type,
                "InstanceCount": settings.instance_count,
                **({"VolumeKmsKeyId": settings.resource_encryption_key} if settings.resource_encryption_key else {}),
            },
            **{name: value for name, value in optional.items() if value},
            "Tags": self.tags(),
        }

    def _data_processing(self) -> dict[str, str]:
        program = self.program
        chosen = {"InputFilter": program.input_filter, "OutputFilter": program.output_filter}
        if program.join_source != "None":
            chosen["JoinSource"] = program.join_source
        return {name: value for name, value in chosen.items() if value}

    def _client(self) -> dict[str, int]:
        chosen = {}
        if self.program.invocations_timeout:
            chosen["InvocationsTimeoutInSeconds"] = self.program.invocations_timeout
        if self.program.invocations_max_retries >= 0:
            chosen["InvocationsMaxRetries"] = self.program.invocations_max_retries
        return chosen

    def model_request(self) -> dict[str, Any]:
        """Arguments of CreateModel."""
        container: dict[str, Any] = {"Image": self.image}
        if self.model.endswith(_ARCHIVE):
            container["ModelDataUrl"] = self.model
        elif self.model:
            source = {"S3Uri": f"{self.model.rstrip('/')}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
            container["ModelDataSource"] = {"S3DataSource": source}
        request: dict[str, Any] = {
            "ModelName": self.model_name,
            "PrimaryContainer": container,
            "ExecutionRoleArn": self.settings.role,
            "EnableNetworkIsolation": self.settings.network_isolation,
        }
        if vpc := self.settings.vpc_config():
            request["VpcConfig"] = vpc
        return {**request, "Tags": self.tags()}

    def check_model(self, aws: Aws) -> None:
        """Refuse a model that SageMaker would refuse. Nothing is called.

        Raises:
            InputError: naming the parameter, its value and what is accepted.
        """
        check_request(aws, "CreateModel", self.model_request(), _MODEL_PARAMETERS)

    def create_model(self, aws: Aws) -> None:
        """Create the model, unless an earlier try has created it."""
        try:
            aws.call("sagemaker", "create_model", **self.model_request())
        except RefusedError as error:
            if not error.says_exists:
                raise

    def delete_model(self, aws: Aws) -> None:
        """Delete the model that was created for the job."""
        aws.delete("sagemaker", "delete_model", ModelName=self.model_name)

    def written_to(self, described: Mapping[str, Any]) -> str:
        return str(described["TransformOutput"]["S3OutputPath"])

    def seconds(self, description: Mapping[str, Any]) -> tuple[float | None, float | None]:
        seconds = elapsed(description.get("TransformStartTime"), description.get("TransformEndTime"))
        return seconds, seconds
