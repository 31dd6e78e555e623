"""The sagemaker-train stage: a SageMaker training job of any image."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from ncf.console_text import say
from ncf.sagemaker.training.program import ARTIFACTS, TrainingProgram
from ncf.sagemaker.training.settings import TrainingSettings
from ncf.stage.declaration import LAUNCHER, Input, Output, OutputParameter, Stage
from ncf.storage import download, is_s3


class SagemakerTrain(Stage, TrainingProgram, TrainingSettings):
    """Run a SageMaker training job of any image.

    A retry attaches to the job of the first attempt. SageMaker reads and writes artifacts in S3 directly. Artifacts
    outside S3 are copied through 's3_prefix'.
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
        "ncf.sagemaker.training.kind",
        "ncf.sagemaker.training.plan",
    )

    train: str = Input("Artifact", "Channel 'train': a file or folder", optional=True)
    validation: str = Input("Artifact", "Channel 'validation'", optional=True)
    model: str = Input("Artifact", "Channel 'model', such as a model to continue from", optional=True)
    container_entrypoint: list[str] = Field([], description="Command in place of the image's own")
    container_arguments: list[str] = Field([], description="Arguments of the command; none: 'train'")

    trained_model: Path = Output("Model", "What the program has written to /opt/ml/model")
    metrics: Path = Output("Metrics", "Last values of the metrics, times and estimated cost")
    model_uri: Path = OutputParameter(str, "S3 URI of the model: a folder, or a model.tar.gz")
    job_name: Path = OutputParameter(str, "Name of the training job")
    summary: Path = Output("Markdown", "The job: status, times, cost, metrics, and a console link")

    def run(self) -> Mapping[str, str]:
        from ncf.aws.ecr import pinned
        from ncf.aws.names import run_identity
        from ncf.aws.session import Aws
        from ncf.reports.job import markdown
        from ncf.reports.markdown import code
        from ncf.sagemaker.jobs.figures import figures
        from ncf.sagemaker.jobs.inputs import Inputs, sources
        from ncf.sagemaker.jobs.job import run_job
        from ncf.sagemaker.jobs.plan import job_name
        from ncf.sagemaker.staging import Staging
        from ncf.sagemaker.training.plan import TrainingPlan, model_uri
        from ncf.sagemaker.training.program import as_texts

        settings = TrainingSettings.of(self)
        aws = Aws(settings)
        run = run_identity(settings.run_id)
        inputs = Inputs.of(ARTIFACTS, self, sources(self.channels))
        command = [self.container_entrypoint, self.container_arguments]
        content = {"program": self.identity(), "command": command, "inputs": inputs.identity()}
        name = job_name(settings, self.command_name(), run, content)
        staging = Staging(settings.s3_prefix, name)
        output = self.uri_of("trained_model")
        plan = TrainingPlan(
            name=name,
            run=run,
            settings=settings,
            hyperparameters=as_texts(self.hyperparameters),
            channels={channel: source.channel() for channel, source in inputs.sources(staging).items()},
            output=staging.uri("trained_model", output),
            image=pinned(aws, "train_image", self.train_image),
            environment=self.environment,
            metrics=self.metric_definitions,
            entrypoint=self.container_entrypoint,
            arguments=self.container_arguments,
            is_compressed=self.compress_model,
            input_mode=self.input_mode,
        )
        plan.check(aws)
        job = run_job(aws, plan, inputs.uploader(staging), write=say)
        uri = model_uri(job)
        if not is_s3(output):
            download(uri, self.trained_model / "model.tar.gz" if self.compress_model else self.trained_model)
        found = {entry["MetricName"]: entry["Value"] for entry in job.get("FinalMetricDataList", ())}
        last = {metric: value for metric, value in found.items() if math.isfinite(value)}
        ended = figures(aws, plan, job, {"model": code(uri), **last})
        self.metrics.write_text(json.dumps(last | ended.metrics(), indent=2) + "\n")
        self.model_uri.write_text(uri)
        self.job_name.write_text(ended.name)
        self.summary.write_text(markdown(ended, aws.console_url(f"{plan.kind.page}/{ended.name}")))
        return {"trained_model": uri} if is_s3(output) else {}
