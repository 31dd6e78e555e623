"""``ncf rollback``: the previous model of an endpoint, in service again."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg

from ncf.aws.settings import AwsAccess
from ncf.console_text import say
from ncf.sagemaker.hosting.settings import checked_endpoint_name
from ncf.stage.declaration import Stage


class Rollback(Stage, AwsAccess):
    """Roll an endpoint back to its previous model, at once.

    The previous model is the one that was in service before the last update; after a rollback, the next older one. One
    whose model package is no longer approved is skipped. An update in progress is waited for.
    """

    calls = (
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.endpoint",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.hosting.versions",
        "ncf.sagemaker.registry.package",
    )

    endpoint: CliPositionalArg[str] = Field(min_length=1, description="Name of the endpoint")
    endpoint_wait_time: int = Field(1800, ge=60, le=86_400, description="Seconds to wait for the endpoint")

    @field_validator("endpoint")
    @classmethod
    def _is_endpoint_name(cls, value: str) -> str:
        return checked_endpoint_name(value)

    def run(self) -> None:
        from ncf.aws.session import Aws
        from ncf.sagemaker.hosting.endpoint import Endpoint

        rollback = Endpoint(Aws(self), self.endpoint).roll_back(self.endpoint_wait_time)
        for reason in rollback.skipped:
            say(f"skipped: {reason}")
        named = f", {rollback.package.name}" if rollback.package else ""
        say(f"endpoint {self.endpoint} serves {rollback.after}{named} again, in place of {rollback.before}")
