"""Parameters of a batch transform job."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ncf.parameters import Parameters
from ncf.sagemaker.jobs.settings import InstanceSettings
from ncf.storage import is_s3

_MAX_MEGABYTES = 100
"""Size of a payload, and of all concurrent payloads of an instance."""


class TransformProgram(Parameters):
    """Model, input and output of a batch transform job."""

    deploy_image: str = Field("", description="Image that serves the model, in ECR; '': none, with model_name")
    model_uri: str = Field("", description="S3 URI of the model, a folder or a model.tar.gz; '': the artifact, if any")
    model_name: str = Field("", description="SageMaker model that exists already; '': one is created for the job")
    environment: dict[str, str] = Field({}, description="Environment variables of the container, for this job")
    input_location: str = Field("", description="S3 URI of the input; '': the artifact 'data'")
    data_type: Literal["S3Prefix", "ManifestFile"] = Field("S3Prefix", description="What the input's URI names")
    content_type: str = Field("", description="MIME type of the input; '': none is sent")
    compression_type: Literal["None", "Gzip"] = Field("None", description="Compression of the input")
    split_type: Literal["None", "Line", "RecordIO", "TFRecord"] = Field("None", description="Records of an object")
    batch_strategy: Literal["", "MultiRecord", "SingleRecord"] = Field(
        "", description="Records in a request: as many as fit, or one; '': the container's or SageMaker's choice"
    )
    max_payload: int = Field(6, ge=0, le=_MAX_MEGABYTES, description="Size of a request, MB; 0: no limit")
    max_concurrent: int = Field(
        0, ge=0, description="Concurrent requests to an instance; 0: the container's or SageMaker's choice"
    )
    accept: str = Field("", description="MIME type of the output; '': the container's choice")
    assemble_with: Literal["", "None", "Line"] = Field(
        "", description="Whether a line break ends each record of the output; '': SageMaker's choice"
    )
    input_filter: str = Field("", description="JSONPath of the part of a record that is sent; '': all of it")
    output_filter: str = Field("", description="JSONPath of the part of the joined record that is kept; '': all of it")
    join_source: Literal["None", "Input"] = Field("None", description="Whether records of input and output are joined")
    invocations_timeout: int = Field(
        0, ge=0, le=3600, description="Seconds for the answer to a request; 0: SageMaker's 600"
    )
    invocations_max_retries: int = Field(
        -1, ge=-1, le=3, description="Retries of a request that fails; -1: SageMaker's 3"
    )

    @field_validator("model_uri", "input_location")
    @classmethod
    def _in_s3(cls, value: str) -> str:
        if value and not is_s3(value):
            raise ValueError("expected an s3:// URI")
        return value

    @model_validator(mode="after")
    def _possible(self) -> TransformProgram:
        if bool(self.model_name) == bool(self.deploy_image):
            raise ValueError("'deploy_image' or 'model_name' is required, one of them")
        if self.model_name and self.model_uri:
            raise ValueError("'model_uri' is for a model that is created: leave it empty with 'model_name'")
        if self.max_payload * max(1, self.max_concurrent) > _MAX_MEGABYTES:
            raise ValueError(
                f"'max_concurrent' * 'max_payload' is {self.max_concurrent} * {self.max_payload}; at most "
                f"{_MAX_MEGABYTES} MB are accepted"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """What makes another job, beside its settings and inputs."""
        return self.model_dump(mode="json", include=set(TransformProgram.model_fields))


class TransformSettings(InstanceSettings):
    """Instances of a batch transform job."""

    instance_type: str = Field("ml.m5.large", description="Type of the instances")
