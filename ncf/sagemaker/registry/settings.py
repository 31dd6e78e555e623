"""Parameters of the registration of a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ncf.aws.settings import AwsAccess
from ncf.parameters import Parameters
from ncf.sagemaker.registry.names import check_group
from ncf.sagemaker.settings import checked_s3

ALL, NONE = "all", "none"
"""Values of the parameter 'models'; the third is 'passed'."""
AT_ONCE, ON_APPROVAL, NEVER = "at_once", "on_approval", "never"
"""Values of the parameter 'release'."""


class RegistrySettings(Parameters):
    """Parameters of what is registered, and of its release."""

    registry_group: str = Field(
        "ncf", description="Model package group of SageMaker's Model Registry; it is created if it does not exist"
    )
    models: Literal["passed", "all", "none"] = Field(
        "passed", description="Models to register: those that pass the gate, all (the others as Rejected), or none"
    )
    release: Literal["at_once", "on_approval", "never"] = Field(
        "at_once",
        description=(
            "Release of a model that passes the gate: at_once (registered as Approved, and deployed), on_approval "
            "(registered as PendingManualApproval, for the release pipeline) or never (the package is a record)"
        ),
    )

    @field_validator("registry_group")
    @classmethod
    def _is_group(cls, value: str) -> str:
        return check_group(value)

    @model_validator(mode="after")
    def _can_be_approved(self) -> RegistrySettings:
        if self.models == NONE and self.release == ON_APPROVAL:
            raise ValueError(f"release is '{ON_APPROVAL}', but no model is registered ('{NONE}') that can be approved")
        return self


class ServingSettings(AwsAccess):
    """Parameters of deploy that a package records."""

    deploy_image: str = Field(min_length=1, description="Image of the endpoint, in ECR")
    s3_prefix: str = Field(
        "", description="s3:// URI to copy artifacts to that are not in S3, as SageMaker reads only S3"
    )
    serverless_memory: int = Field(
        0, ge=0, le=6144, description="Parameter of the deploy stage: above 0 the package has an archive of the model"
    )

    @field_validator("s3_prefix")
    @classmethod
    def _is_s3(cls, value: str) -> str:
        return checked_s3(value)
