"""Parameters of a training program of any image."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import Field, field_validator

from ncf.parameters import Parameters
from ncf.sagemaker.jobs.inputs import sources

ARTIFACTS = ("train", "validation", "model")
"""Input artifacts of the stages that train; each is the channel of its name."""


class TrainingProgram(Parameters):
    """Image, hyperparameters, channels and metrics of a training job."""

    train_image: str = Field(min_length=1, description="Image of the training job, in ECR")
    hyperparameters: dict[str, Any] = Field(
        {}, description="Hyperparameters as {name: value}; SageMaker passes lists and objects as JSON"
    )
    channels: dict[str, Any] = Field(
        {},
        description="Further input channels as {name: S3 URI}, or {name: {'uri': ..., 'distribution': "
        "'ShardedByS3Key', 'content_type': ..., 'compression': 'Gzip', 'input_mode': ..., 'data_type': "
        "'ManifestFile'}}",
    )
    metric_definitions: dict[str, str] = Field(
        {}, description="Metrics as {name: regular expression}, whose first group is the value in the log"
    )
    environment: dict[str, str] = Field({}, description="Environment variables of the program")
    input_mode: Literal["File", "FastFile", "Pipe"] = Field(
        "File", description="How channels are read, unless they have a mode of their own"
    )
    compress_model: bool = Field(False, description="Whether the model becomes a model.tar.gz, instead of a folder")

    @field_validator("channels")
    @classmethod
    def _are_sources(cls, value: dict[str, Any]) -> dict[str, Any]:
        sources(value, "path")
        return value

    @field_validator("metric_definitions")
    @classmethod
    def _have_a_group(cls, value: dict[str, str]) -> dict[str, str]:
        for name, regex in value.items():
            try:
                groups = re.compile(regex).groups
            except re.error as error:
                raise ValueError(f"'{name}' is no regular expression: {error}") from None
            if not groups:
                raise ValueError(f"'{name}' is {regex!r}, without a group; expected one such as 'loss=([0-9.]+)'")
        return value

    def identity(self) -> dict[str, Any]:
        """What makes another job, beside its settings and inputs."""
        own = set(TrainingProgram.model_fields) - {"channels"}
        return self.model_dump(mode="json", include=own)


def as_texts(values: dict[str, Any]) -> dict[str, str]:
    """Hyperparameters in the form of SageMaker, which passes text. KFP passes whole numbers as floats."""
    return {name: value if isinstance(value, str) else json.dumps(_whole(value)) for name, value in values.items()}


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _whole(entry) for name, entry in value.items()}
    return value
