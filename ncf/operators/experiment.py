"""``ncf experiment``: a challenger beside the live model of an endpoint (A/B test)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import CliPositionalArg

from ncf.aws.settings import AwsAccess
from ncf.sagemaker.hosting.settings import checked_endpoint_name
from ncf.stage.declaration import Stage

if TYPE_CHECKING:
    from ncf.aws.session import Aws
    from ncf.sagemaker.hosting.experiment import Experiment as Running
    from ncf.sagemaker.hosting.experiment import ExperimentHost


class Experiment(Stage, AwsAccess):
    """Compare two model packages on one endpoint, each for users of its own.

    'start' adds a variant that serves the challenger, an approved package, with as many instances as the live one.
    'show' prints the experiment. 'stop' serves the live model to all users, and keeps both variants, so that clients
    need no change. 'end' removes the second variant. While there is an experiment, deploy refuses the endpoint.
    """

    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.autoscaling",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.endpoint",
        "ncf.sagemaker.hosting.experiment",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.hosting.smoke_test",
        "ncf.sagemaker.hosting.versions",
        "ncf.sagemaker.registry.package",
    )

    action: CliPositionalArg[Literal["start", "show", "stop", "end"]] = Field(description="What to do")
    endpoint: CliPositionalArg[str] = Field(min_length=1, description="Name of the endpoint")
    challenger: str = Field("", description="Model package of the challenger: ARN, or GROUP/VERSION; for 'start'")
    share: float = Field(
        0.5, ge=0.01, le=0.99, description="Share of the users that are assigned to the challenger; for 'start'"
    )
    smoke_test_users: int = Field(
        20, ge=1, le=100, description="Number of users whose recommendations the challenger is asked for; for 'start'"
    )
    endpoint_wait_time: int = Field(1800, ge=60, le=86_400, description="Seconds to wait for the endpoint")

    @field_validator("endpoint")
    @classmethod
    def _is_endpoint_name(cls, value: str) -> str:
        return checked_endpoint_name(value)

    @model_validator(mode="after")
    def _has_a_challenger(self) -> Experiment:
        if (self.action == "start") != bool(self.challenger):
            expected = "'start' requires it" if self.action == "start" else "only 'start' has one"
            raise ValueError(
                f"parameter 'challenger' is '{self.challenger}', and the action is '{self.action}'; {expected}"
            )
        return self

    def run(self) -> None:
        from ncf.aws.session import Aws
        from ncf.sagemaker.hosting.experiment import ExperimentHost

        aws = Aws(self)
        host = ExperimentHost(aws, self.endpoint, self.endpoint_wait_time)
        if self.action == "start":
            print(self._described(self._start(aws, host)))
        elif self.action == "stop":
            print(self._described(host.stop()))
        elif self.action == "end":
            ended = host.end()
            print(f"experiment {ended.name} has ended" if ended else f"endpoint {self.endpoint} has no experiment")
        else:
            running = host.present()[1]
            print(self._described(running) if running else f"endpoint {self.endpoint} has no experiment")

    def _start(self, aws: Aws, host: ExperimentHost) -> Running:
        from ncf.artifacts import manifest
        from ncf.artifacts.model_folder import KIND
        from ncf.errors import InputError
        from ncf.sagemaker.hosting.deployed_model import local_model
        from ncf.sagemaker.hosting.packages import check_approved, check_model, obstacle
        from ncf.sagemaker.hosting.smoke_test import SmokeTest
        from ncf.sagemaker.registry.package import find

        package = find(aws, self.challenger)
        if reason := obstacle(package):
            raise InputError(f"parameter 'challenger': {reason}")
        with local_model(package.model_in_s3()) as folder:
            check_model(package, manifest.fingerprint(manifest.read(folder, KIND)))
            test = SmokeTest.of_model(folder, self.smoke_test_users)
        return host.start(
            package.arn,
            self.share,
            lambda: check_approved(aws, package.arn),
            lambda variant: test.run(aws, self.endpoint, variant),
        )

    def _described(self, running: Running) -> str:
        """The experiment in lines of a name and a value each."""
        from ncf.aws.names import CHALLENGER_VARIANT, VARIANT

        def version(arn: str) -> str:
            return "/".join(arn.rsplit("/", 2)[1:]) if arn else "no package"

        challenger = (
            version(running.challenger) if running.is_running else f"stopped, serves {version(running.champion)}"
        )
        lines = {
            "experiment": running.name,
            "since": f"{running.started:%Y-%m-%d %H:%M} UTC",
            "share": f"{running.share}",
            VARIANT: f"{version(running.champion)}, {100 * (1 - running.share):g}% of the users",
            CHALLENGER_VARIANT: f"{challenger}, {100 * running.share:g}% of the users",
        }
        return "\n".join(f"{name:<12}{value}" for name, value in lines.items())
