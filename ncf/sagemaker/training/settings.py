"""Parameters of a training job."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from ncf.sagemaker.jobs.settings import InstanceSettings
from ncf.sagemaker.settings import checked_s3

_CUDA_13, _OLDER_CUDA = re.compile(r"cu(da)?-?13"), re.compile(r"cu(da)?-?1[0-2]|cpu")
_OWN_TRAIN_IMAGE = re.compile(r"(.*/)?ncf-train[:@].*")
_DAYS_28 = 2_419_200


class TrainingSettings(InstanceSettings):
    """Parameters of a training job of any image."""

    instance_type: str = Field("ml.g5.xlarge", description="Type of the training instances")
    instance_count: int = Field(1, ge=1, le=100, description="Number of training instances")
    volume_size: int = Field(30, ge=1, le=16_384, description="Storage of each training instance, GB")
    max_run_time: int = Field(3600, ge=60, le=_DAYS_28, description="Seconds after which SageMaker stops the job")
    spot_instance: bool = Field(False, description="Whether to train on spot instances, which AWS may interrupt")
    max_wait_time: int = Field(
        0,
        ge=0,
        le=_DAYS_28,
        description="Seconds that a spot job may take, including waiting; 0: no spot job",
    )
    checkpoint_s3_uri: str = Field(
        "",
        description="s3:// URI of checkpoints to resume from; '': beside the model for spot jobs, else none",
    )
    keep_alive_period: int = Field(0, ge=0, le=21_600, description="Seconds that instances stay warm for the next job")
    traffic_encryption: bool = Field(False, description="Whether traffic between training instances is encrypted")
    output_encryption_key: str = Field("", description="KMS key of the model in S3; '': the bucket's default")

    @field_validator("checkpoint_s3_uri")
    @classmethod
    def _checkpoints_in_s3(cls, value: str) -> str:
        return checked_s3(value)

    @model_validator(mode="after")
    def _possible(self) -> TrainingSettings:
        if self.spot_instance and self.max_wait_time < self.max_run_time:
            raise ValueError(
                f"parameter 'max_wait_time' is {self.max_wait_time}: with 'spot_instance' it must be at "
                f"least 'max_run_time', {self.max_run_time}"
            )
        if self.max_wait_time and not self.spot_instance:
            raise ValueError("parameter 'max_wait_time' is for spot jobs: set 'spot_instance' too, or leave it 0")
        if self.spot_instance and self.keep_alive_period:
            raise ValueError("parameters 'spot_instance' and 'keep_alive_period': spot instances are never kept warm")
        return self


class JobSettings(TrainingSettings):
    """Parameters of a training job of this project's image."""

    train_image: str = Field(min_length=1, description="Image of the training job, in ECR")

    @model_validator(mode="after")
    def _runs_on_its_gpu(self) -> JobSettings:
        if self.instance_type.startswith("ml.p3.") and self._needs_cuda_13():
            raise ValueError(
                f"parameter 'instance_type' is {self.instance_type}: its V100 GPUs do not run CUDA 13, which "
                f"'train_image' is built for (unless its tag names another, such as cu128); use ml.g4dn, ml.g5 or later"
            )
        return self

    def _needs_cuda_13(self) -> bool:
        is_own = _OWN_TRAIN_IMAGE.fullmatch(self.train_image) and not _OLDER_CUDA.search(self.train_image)
        return bool(is_own or _CUDA_13.search(self.train_image))
