"""The sagemaker-transform stage: a SageMaker batch transform job of any image or model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import model_validator

from ncf.console_text import say
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.transform.settings import TransformProgram, TransformSettings
from ncf.stage.declaration import LAUNCHER, Input, Output, OutputParameter, Stage, check_one_given
from ncf.storage import download, is_s3, list_objects


class SagemakerTransform(Stage, TransformProgram, TransformSettings):
    """Run a SageMaker batch transform job: the answers of a model's container for all objects under a prefix.

    The model is an artifact, an S3 URI, or a SageMaker model by its name. A retry attaches to the job of the first
    attempt. SageMaker reads and writes artifacts in S3 directly. Artifacts outside S3 are copied through 's3_prefix'.
    """

    image = LAUNCHER
    calls = (
        "ncf.storage",
        "ncf.aws.ecr",
        "ncf.aws.logs",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.jobs.job",
        "ncf.sagemaker.jobs.pricing",
        "ncf.sagemaker.jobs.stopping",
        "ncf.sagemaker.transform.kind",
        "ncf.sagemaker.transform.plan",
    )

    model: str = Input("Model", "Model that the image serves: a folder, or a model.tar.gz", optional=True)
    data: str = Input("Artifact", "Input: a file or folder", optional=True)

    transformed: Path = Output("Dataset", "Answers: for each input object, an object of its name with .out behind it")
    output_location: Path = OutputParameter(str, "S3 URI of the answers")
    job_name: Path = OutputParameter(str, "Name of the transform job")
    metrics: Path = Output("Metrics", "Number of output objects, time and estimated cost")
    summary: Path = Output("Markdown", "The job: status, time, cost, location of the answers, and a console link")

    @model_validator(mode="after")
    def _sources_are_given(self) -> SagemakerTransform:
        check_one_given(self, "data", "input_location")
        if self.model and (self.model_uri or self.model_name):
            raise ValueError("'model', 'model_uri' and 'model_name' exclude each other")
        return self

    def run(self) -> Mapping[str, str]:
        from ncf.aws.ecr import pinned
        from ncf.aws.names import run_identity
        from ncf.aws.session import Aws
        from ncf.reports.job import markdown
        from ncf.reports.markdown import Markdown, code
        from ncf.sagemaker.jobs.figures import figures
        from ncf.sagemaker.jobs.inputs import Inputs, Source
        from ncf.sagemaker.jobs.job import run_job
        from ncf.sagemaker.jobs.plan import job_name
        from ncf.sagemaker.staging import Staging
        from ncf.sagemaker.transform.plan import TransformPlan

        settings = TransformSettings.of(self)
        aws = Aws(settings)
        run = run_identity(settings.run_id)
        inputs = Inputs.of(("model", "data"), self, {})
        content = {"program": self.identity(), "inputs": inputs.identity()}
        name = job_name(settings, self.command_name(), run, content)
        staging = Staging(settings.s3_prefix, name)
        staged = inputs.sources(staging)
        plan = TransformPlan(
            name=name,
            run=run,
            settings=settings,
            program=TransformProgram(**{field: getattr(self, field) for field in TransformProgram.model_fields}),
            data=staged.get("data") or Source(uri=self.input_location),
            output=staging.uri("transformed", self.uri_of("transformed")),
            image=pinned(aws, "deploy_image", self.deploy_image) if self.deploy_image else "",
            model=self._model(staged["model"].uri) if "model" in staged else self.model_uri,
        )
        plan.check(aws)
        if plan.image:
            plan.check_model(aws)
        upload = inputs.uploader(staging)

        def prepare() -> None:
            upload()
            if plan.image:
                plan.create_model(aws)

        try:
            job = run_job(aws, plan, prepare, write=say)
        except RemoteError as error:
            if error.report and plan.image:  # the job has ended
                plan.delete_model(aws)
            raise
        if plan.image:
            plan.delete_model(aws)
        uri = plan.written_to(job).rstrip("/")
        if not (count := len(list_objects(uri))):
            raise InputError(f"transform job {plan.kind.name_of(job)} has written nothing to {uri}: its input is empty")
        if not is_s3(self.uri_of("transformed")):
            download(uri, self.transformed)
        ended = figures(aws, plan, job, {"answers": Markdown(f"{code(uri)}: {count} objects")})
        self.output_location.write_text(uri)
        self.job_name.write_text(ended.name)
        self.metrics.write_text(json.dumps({"objects": count, **ended.metrics()}, indent=2) + "\n")
        self.summary.write_text(markdown(ended, aws.console_url(f"{plan.kind.page}/{ended.name}")))
        return {"transformed": uri} if is_s3(self.uri_of("transformed")) else {}

    def _model(self, uri: str) -> str:
        """S3 URI of the model's data: of the archive, if the artifact is a folder of it alone."""
        archive = "model.tar.gz"
        return f"{uri.rstrip('/')}/{archive}" if (Path(self.model) / archive).is_file() else uri
