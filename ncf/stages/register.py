"""The register stage: a model in SageMaker's Model Registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, field_validator, model_validator

from ncf.artifacts import manifest
from ncf.artifacts.model_folder import HISTORY, KIND
from ncf.errors import InputError
from ncf.experiments.settings import ExperimentSettings
from ncf.sagemaker.registry.settings import ALL, AT_ONCE, NONE, ON_APPROVAL, RegistrySettings, ServingSettings
from ncf.sagemaker.settings import checked_run_id
from ncf.stage.declaration import LAUNCHER, Input, Output, OutputParameter, Stage, check_one_given
from ncf.stage.overrides import with_overrides
from ncf.storage import local_copy

if TYPE_CHECKING:
    from ncf.experiments.record import Record as RunRecord
    from ncf.sagemaker.registry.package import Package

_FILES = {"metrics": "metrics.json", "report": "report.html", "diff": "diff.html"}
"""Input -> name of its copy in S3."""
_NO_REASON = "the metrics of evaluate do not say why"


class Register(Stage, RegistrySettings, ServingSettings, ExperimentSettings):
    """Register a model in SageMaker's Model Registry, as a version of a model package group.

    The package records the model, the image of the endpoint by its digest, the metrics, the data, the hyperparameters
    and the run. A retry finds the package of the first attempt: a run has one package. MLflow records the run too, if
    there is a tracking server.
    """

    image = LAUNCHER
    calls = (
        "ncf.storage",
        "ncf.aws.ecr",
        "ncf.aws.session",
        "ncf.sagemaker.registry.package",
        "ncf.sagemaker.registry.registration",
    )
    default_images = {"deploy_image": "deploy"}

    read_too = ("model_uri",)

    model: str = Input("Model", "Folder written by train", optional=True)
    model_uri: str = Field("", description="S3 URI or path of such a folder, instead of the artifact 'model'")
    metrics: str = Input("Metrics", "Metrics written by evaluate")
    report: str = Input("HTML", "Report written by evaluate")
    diff: str = Input("HTML", "Comparison with the live model, for the person who approves", optional=True)
    passed: bool = Field(description="Whether the gate is open")
    deploy_overrides: dict[str, Any] = Field(
        {},
        description="Parameter of the deploy stage; region, assume_role, profile, deploy_image, s3_prefix and "
        "serverless_memory in it apply to the package",
    )
    run_id: str = Field("", description="ID of the run, which has one package in the group; '': a new run")

    package: Path = OutputParameter(str, "ARN of the model package; '' if no model is registered")
    release_now: Path = OutputParameter(bool, "Whether deploy is to run: the gate is open, and release is at_once")
    summary: Path = Output("Markdown", "The package: its version, its status, what it records, and the next step")

    @field_validator("run_id")
    @classmethod
    def _fits_a_property(cls, value: str) -> str:
        return checked_run_id(value)

    @model_validator(mode="after")
    def _one_model(self) -> Register:
        check_one_given(self, "model", "model_uri")
        return self

    @model_validator(mode="after")
    def _overrides_fit(self) -> Register:
        self.serving()
        return self

    def serving(self) -> ServingSettings:
        """Settings of deploy that the package records, with the overrides applied.

        Raises:
            ValueError: if an override is invalid. The message names it and the accepted values.
        """
        names = {name: name for name in ServingSettings.model_fields}
        values = {name: getattr(self, name) for name in names}
        overrides = {name: value for name, value in self.deploy_overrides.items() if name in names}
        return cast("ServingSettings", with_overrides(values, names, "deploy_overrides", overrides, ServingSettings)[0])

    def s3_region(self) -> str:
        return self.serving().region

    def run(self) -> None:
        from ncf.aws.names import run_identity

        run, closed_by, package, tracked = run_identity(self.run_id), "", None, ""
        with local_copy(self.metrics) as path:
            metrics = _metrics(path, self.metrics)
        if not self.passed:
            from ncf.evaluation.gate import reason_of_closed_gate

            closed_by = reason_of_closed_gate(metrics) or _NO_REASON
        if self.models == ALL or (self.models != NONE and self.passed):
            package = self._registered(run, metrics, closed_by)
        if self.mlflow_uri:
            from ncf.experiments.tracking import track

            tracked = track(self, self._run_record(run, metrics, closed_by, package))
        self.package.write_text(package.arn if package else "")
        self.release_now.write_text(json.dumps(self.passed and self.release == AT_ONCE))
        self.summary.write_text(self._summary(package, closed_by, tracked))

    def _registered(self, run: str, metrics: Mapping[str, Any], closed_by: str) -> Package:
        from ncf.aws.ecr import pinned
        from ncf.aws.session import Aws
        from ncf.sagemaker.registry.record import Record, token
        from ncf.sagemaker.registry.registration import register
        from ncf.sagemaker.staging import Staging, manifest_of

        settings = self.serving()
        aws = Aws(settings)
        location = self.model or self.model_uri
        model_uri = self.uri_of("model") if self.model else location
        staging = Staging(settings.s3_prefix, token(self.registry_group, run))
        is_archive = settings.serverless_memory > 0
        given = {name: file for name, file in _FILES.items() if getattr(self, name)}
        record = Record(
            group=self.registry_group,
            run=run,
            image=pinned(aws, "deploy_image", settings.deploy_image),
            model=staging.archive_uri("model") if is_archive else staging.uri("model", model_uri),
            is_archive=is_archive,
            content=manifest_of(location, KIND),
            metrics=metrics,
            uris={name: staging.uri(file, self.uri_of(name)) for name, file in given.items()},
            closed_by=closed_by,
            release=self.release,
        )

        def upload() -> None:
            for name, file in given.items():
                staging.upload_if_local(file, getattr(self, name), self.uri_of(name))
            if is_archive:
                with local_copy(location) as folder:
                    staging.upload_archive("model", folder)
            else:
                staging.upload_if_local("model", location, model_uri)

        return register(aws, record, upload)

    def _run_record(self, run: str, metrics: Mapping[str, Any], closed_by: str, package: Package | None) -> RunRecord:
        from ncf.artifacts.provenance import Provenance
        from ncf.experiments.record import Record
        from ncf.sagemaker.staging import manifest_of

        location = self.model or self.model_uri
        content = manifest_of(location, KIND)
        provenance = Provenance.of(content)
        with local_copy(f"{location.rstrip('/')}/{HISTORY}") as path:
            history = json.loads(path.read_bytes())
        pages = {}
        for name in ("report", "diff"):
            if getattr(self, name):
                with local_copy(getattr(self, name)) as path:
                    pages[_FILES[name]] = path.read_text()
        facts = {
            "package": package.arn if package else "",
            "model": manifest.version(content),
            "dataset": provenance.fingerprint,
            "commit": provenance.commit,
            "job": provenance.training_job,
            "gate": f"closed: {closed_by}" if closed_by else "passed",
            **{name: self.uri_of(name) for name in ("report", "diff") if getattr(self, name)},
        }
        return Record(run, content["parameters"], history, metrics, facts, pages)

    def _summary(self, package: Package | None, closed_by: str, tracked: str) -> str:
        from ncf.reports.markdown import code, escape, table

        gate = f"The gate is closed: {closed_by}" if closed_by else "The gate is open."
        in_mlflow = f"The run in MLflow: {escape(tracked, 1000)}\n\n" if tracked else ""
        if package is None:
            models = f"The parameter `models` is `{self.models}`."
            return f"# No model is registered\n\n{escape(gate, 1000)}\n\n{in_mlflow}{models}\n"
        name = f"{package.group}/{package.version}"
        then = {
            AT_ONCE: "The model is deployed by this run.",
            ON_APPROVAL: f"`ncf approve {name} --note 'REASON'` approves it, and the release pipeline deploys it.",
        }.get(self.release, "It is a record, and is not deployed.")
        rows = [
            ("status", package.status),
            ("model package", code(package.arn)),
            ("model", code(package.model_uri)),
            ("image", code(package.image)),
            *((key.removeprefix("ncf:"), value) for key, value in sorted(package.properties.items())),
        ]
        next_step = "" if closed_by else f"{then}\n\n"
        return f"# {escape(package.name)}\n\n{escape(gate, 1000)}\n\n{next_step}{in_mlflow}{table(('', ''), rows)}\n"


def _metrics(path: Path, location: str) -> dict[str, Any]:
    """Metrics of evaluate.

    Raises:
        InputError: if the file is no JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{location}: not the metrics of evaluate: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{location}: not the metrics of evaluate: expected a JSON object")
    return content
