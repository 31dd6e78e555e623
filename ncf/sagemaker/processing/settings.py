"""Parameters of a processing job."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from ncf.parameters import Parameters
from ncf.sagemaker.jobs.inputs import sources, targets
from ncf.sagemaker.jobs.settings import InstanceSettings

_DAYS_9 = 777_600
INPUTS, OUTPUTS = ("data", "model"), ("processed", "train", "validation", "test")
"""Input and output artifacts of the stage; each is the input or output of its name."""


class ProcessingSettings(InstanceSettings):
    """Instances and limits of a processing job."""

    volume_size: int = Field(30, ge=1, le=16_384, description="Storage of each instance, GB")
    max_run_time: int = Field(3600, ge=1, le=_DAYS_9, description="Seconds after which SageMaker stops the job")
    traffic_encryption: bool = Field(False, description="Whether traffic between the instances is encrypted")


class ProcessingProgram(Parameters):
    """Image, command, inputs and outputs of a processing job."""

    process_image: str = Field(min_length=1, description="Image of the processing job, in ECR")
    container_entrypoint: list[str] = Field([], description="Command in place of the image's own")
    container_arguments: list[str] = Field([], description="Arguments of the command")
    environment: dict[str, str] = Field({}, description="Environment variables of the program")
    input_config: dict[str, Any] = Field(
        {},
        description="Further inputs as {name: S3 URI}, read from /opt/ml/processing/input/NAME, or {name: {'uri': ..., "
        "'path': folder in the container, 'distribution': 'ShardedByS3Key'}}",
    )
    output_config: dict[str, Any] = Field(
        {},
        description="Further outputs as {name: S3 URI}, written to /opt/ml/processing/output/NAME, or {name: {'uri': "
        "..., 'path': folder in the container, 'mode': 'Continuous'}}",
    )

    @field_validator("input_config")
    @classmethod
    def _are_sources(cls, value: dict[str, Any]) -> dict[str, Any]:
        sources(value, "content_type")
        return value

    @field_validator("output_config")
    @classmethod
    def _are_targets(cls, value: dict[str, Any]) -> dict[str, Any]:
        targets(value)
        if reserved := sorted(set(value) & set(OUTPUTS)):
            raise ValueError(f"'{reserved[0]}' is an output artifact; expected names other than {', '.join(OUTPUTS)}")
        return value

    def identity(self) -> dict[str, Any]:
        """What makes another job, beside its settings and inputs."""
        own = set(ProcessingProgram.model_fields) - {"input_config"}
        return self.model_dump(mode="json", include=own)
