"""The select-package stage: the model package to release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from ncf.aws.settings import AwsAccess
from ncf.sagemaker.registry.names import check_group
from ncf.stage.declaration import LAUNCHER, Output, OutputParameter, Stage
from ncf.stage.pod import Pod

if TYPE_CHECKING:
    from ncf.sagemaker.registry.package import Package


class SelectPackage(Stage, AwsAccess):
    """Select the model package to release: one by name, or the latest approved version of a group.

    A package that is pending or rejected, or the record of a run that is not to be released, is refused. The selection
    is a stage of its own, so that a retry of deploy has the same package, whatever is approved meanwhile.
    """

    image = LAUNCHER
    pod = Pod(retries=2)
    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.registry.package",
    )

    package: str = Field(
        "",
        description="Model package, by ARN or GROUP/VERSION; '': the latest approved version of 'registry_group'",
    )
    registry_group: str = Field("ncf", description="Model package group of SageMaker's Model Registry")

    arn: Path = OutputParameter(str, "ARN of the model package")
    summary: Path = Output("Markdown", "The package: its run, metrics and report, and who approved it")

    @field_validator("registry_group")
    @classmethod
    def _is_group(cls, value: str) -> str:
        return check_group(value)

    def run(self) -> None:
        from ncf.aws.session import Aws
        from ncf.errors import InputError
        from ncf.sagemaker.hosting.packages import latest_servable, obstacle
        from ncf.sagemaker.registry.package import find

        aws = Aws(self)
        if self.package:
            package = find(aws, self.package)
            if reason := obstacle(package):
                raise InputError(f"parameter 'package': {reason}")
        elif found := latest_servable(aws, self.registry_group):
            package = found
        else:
            raise InputError(
                f"parameter 'registry_group': no version of the model package group '{self.registry_group}' in "
                f"{aws.region} is approved for release; 'ncf models' lists them, 'ncf approve' approves one"
            )
        self.arn.write_text(package.arn)
        self.summary.write_text(_summary(package))


def _summary(package: Package) -> str:
    """Markdown about the package."""
    from ncf.reports.markdown import escape, table
    from ncf.sagemaker.registry.decision import decision_of

    decision = decision_of(package)
    properties = {key.removeprefix("ncf:"): value for key, value in sorted(package.properties.items())}
    rows = {
        "ARN": package.arn,
        "approved": str(decision or "no"),
        "model": package.model_uri,
        "image": package.image,
        "report": package.report_uri or "none",
        **properties,
    }
    return f"# {escape(package.name)}\n\n{table(('', ''), list(rows.items()))}\n"
