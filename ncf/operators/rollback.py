"""``ncf rollback``: the previous model of an endpoint, in service again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg

from ncf.aws.settings import AwsAccess
from ncf.console_text import say
from ncf.errors import InputError
from ncf.sagemaker.hosting.settings import checked_endpoint_name, checked_target_model
from ncf.stage.declaration import Stage

if TYPE_CHECKING:
    from ncf.aws.session import Aws


class Rollback(Stage, AwsAccess):
    """Roll an endpoint back to its previous model, at once.

    The previous model is the one that was in service before the last update; after a rollback, the next older one. One
    whose model package is no longer approved is skipped. An update in progress is waited for. With 'target_model' the
    record of one model of a multi-model endpoint returns to the version before, and the endpoint stays as it is.
    """

    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.endpoint",
        "ncf.sagemaker.hosting.multi_model",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.hosting.versions",
        "ncf.sagemaker.registry.package",
    )

    endpoint: CliPositionalArg[str] = Field(min_length=1, description="Name of the endpoint")
    target_model: str = Field("", description="Name of a model of a multi-model endpoint; '': the endpoint itself")
    endpoint_wait_time: int = Field(1800, ge=60, le=86_400, description="Seconds to wait for the endpoint")

    @field_validator("endpoint")
    @classmethod
    def _is_endpoint_name(cls, value: str) -> str:
        return checked_endpoint_name(value)

    @field_validator("target_model")
    @classmethod
    def _is_target_model(cls, value: str) -> str:
        return checked_target_model(value)

    def run(self) -> None:
        from ncf.aws.session import Aws

        aws = Aws(self)
        if self.target_model:
            self._roll_back_one(aws)
        else:
            self._roll_back(aws)

    def _roll_back_one(self, aws: Aws) -> None:
        from ncf.sagemaker.hosting.multi_model import shared_models

        models = shared_models(aws, self.endpoint)
        if models is None:
            raise InputError(
                f"parameter 'target_model' is '{self.target_model}': there is no multi-model endpoint "
                f"'{self.endpoint}' in {aws.region}"
            )
        before, after = models.roll_back(self.target_model)
        say(f"{models.live_uri(self.target_model)} names {after} again, in place of {before}")

    def _roll_back(self, aws: Aws) -> None:
        from ncf.sagemaker.hosting.endpoint import Endpoint

        rollback = Endpoint(aws, self.endpoint).roll_back(self.endpoint_wait_time)
        for reason in rollback.skipped:
            say(f"skipped: {reason}")
        named = f", {rollback.package.name}" if rollback.package else ""
        say(f"endpoint {self.endpoint} serves {rollback.after}{named} again, in place of {rollback.before}")
