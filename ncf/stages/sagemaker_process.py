"""The sagemaker-process stage: a SageMaker processing job of any image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ncf.console_text import say
from ncf.sagemaker.processing.settings import INPUTS, OUTPUTS, ProcessingProgram, ProcessingSettings
from ncf.stage.declaration import LAUNCHER, Input, Output, OutputParameter, Stage
from ncf.storage import download, is_s3, list_objects


class SagemakerProcess(Stage, ProcessingProgram, ProcessingSettings):
    """Run a SageMaker processing job: a command of any image, with files in S3 as inputs and outputs.

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
        "ncf.sagemaker.processing.kind",
        "ncf.sagemaker.processing.plan",
    )

    data: str = Input("Artifact", "File or folder that the program reads in /opt/ml/processing/input/data", True)
    model: str = Input("Artifact", "File or folder that it reads in /opt/ml/processing/input/model", True)

    processed: Path = Output("Dataset", "What the program has written to /opt/ml/processing/output/processed")
    train: Path = Output("Dataset", "What it has written to /opt/ml/processing/output/train")
    validation: Path = Output("Dataset", "What it has written to /opt/ml/processing/output/validation")
    test: Path = Output("Dataset", "What it has written to /opt/ml/processing/output/test")
    output_artifacts: Path = OutputParameter(dict, "S3 URI of each output, by name")
    job_name: Path = OutputParameter(str, "Name of the processing job")
    metrics: Path = Output("Metrics", "Time and estimated cost")
    summary: Path = Output("Markdown", "The job: status, time, cost, outputs, and a console link")

    def run(self) -> Mapping[str, str]:
        from ncf.aws.ecr import pinned
        from ncf.aws.names import run_identity
        from ncf.aws.session import Aws
        from ncf.reports.job import markdown
        from ncf.reports.markdown import Markdown, code
        from ncf.sagemaker.jobs.figures import figures
        from ncf.sagemaker.jobs.inputs import Inputs, Target, sources, targets
        from ncf.sagemaker.jobs.job import run_job
        from ncf.sagemaker.jobs.plan import job_name
        from ncf.sagemaker.processing.plan import ProcessingPlan, output_uris
        from ncf.sagemaker.staging import Staging

        settings = ProcessingSettings.of(self)
        aws = Aws(settings)
        run = run_identity(settings.run_id)
        inputs = Inputs.of(INPUTS, self, sources(self.input_config))
        content = {"program": self.identity(), "inputs": inputs.identity()}
        name = job_name(settings, self.command_name(), run, content)
        staging = Staging(settings.s3_prefix, name)
        artifacts = {output: Target(uri=staging.uri(output, self.uri_of(output))) for output in OUTPUTS}
        plan = ProcessingPlan(
            name=name,
            run=run,
            settings=settings,
            inputs=inputs.sources(staging),
            outputs={**artifacts, **targets(self.output_config)},
            image=pinned(aws, "process_image", self.process_image),
            environment=self.environment,
            entrypoint=self.container_entrypoint,
            arguments=self.container_arguments,
        )
        plan.check(aws)
        job = run_job(aws, plan, inputs.uploader(staging), write=say)
        uris = output_uris(job)
        counts = {output: len(list_objects(uri)) for output, uri in uris.items()}
        for output in OUTPUTS:
            if not is_s3(self.uri_of(output)):
                self._copy(output, uris[output], counts[output])
        rows = {output: Markdown(f"{code(uri)}: {counts[output]} objects") for output, uri in uris.items()}
        ended = figures(aws, plan, job, rows)
        self.output_artifacts.write_text(json.dumps(uris))
        self.job_name.write_text(ended.name)
        self.metrics.write_text(json.dumps(ended.metrics(), indent=2) + "\n")
        self.summary.write_text(markdown(ended, aws.console_url(f"{plan.kind.page}/{ended.name}")))
        return {output: uris[output] for output in OUTPUTS if is_s3(self.uri_of(output))}

    def _copy(self, output: str, uri: str, count: int) -> None:
        """Copy an output from S3. The program may have written nothing."""
        path: Path = getattr(self, output)
        if count:
            download(uri, path)
        else:
            path.mkdir(parents=True)
