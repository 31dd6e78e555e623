"""The sagemaker-tune stage: a SageMaker hyperparameter tuning job of any training image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from ncf.console_text import say
from ncf.errors import RemoteError
from ncf.sagemaker.training.program import ARTIFACTS, TrainingProgram
from ncf.sagemaker.tuning.settings import Search, TuningSettings
from ncf.stage.declaration import Input, Output, OutputParameter, Stage
from ncf.storage import download, is_s3

if TYPE_CHECKING:
    from ncf.aws.session import Aws
    from ncf.sagemaker.tuning.plan import TuningPlan


class SagemakerTune(Stage, TrainingProgram, Search, TuningSettings):
    """Run a SageMaker hyperparameter tuning job: trials of any training image, and the best of them.

    A retry attaches to the job of the first attempt. SageMaker reads and writes artifacts in S3 directly. Artifacts
    outside S3 are copied through 's3_prefix'.
    """

    image = "evaluate"  # has the packages of the report
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
        "ncf.sagemaker.tuning.kind",
        "ncf.sagemaker.tuning.plan",
        "ncf.sagemaker.tuning.trials",
    )

    train: str = Input("Artifact", "Channel 'train': a file or folder", optional=True)
    validation: str = Input("Artifact", "Channel 'validation'", optional=True)
    model: str = Input("Artifact", "Channel 'model', such as a model to continue from", optional=True)

    best_model: Path = Output("Model", "Model of the best trial")
    best_hyperparameters: Path = OutputParameter(
        dict, "Hyperparameters of the best trial, with those that are not tuned"
    )
    model_uri: Path = OutputParameter(str, "S3 URI of the best trial's model")
    best_job_name: Path = OutputParameter(str, "Name of the best trial's training job")
    job_name: Path = OutputParameter(str, "Name of the tuning job")
    metrics: Path = Output("Metrics", "Objective of the best trial, numbers of trials, time and estimated cost")
    report: Path = Output("HTML", "The trials: table, and plots of the objective")
    summary: Path = Output("Markdown", "The job: status, time, cost, trials, and a console link")

    @model_validator(mode="after")
    def _objective_is_defined(self) -> SagemakerTune:
        if self.metric_name not in self.metric_definitions:
            names = ", ".join(self.metric_definitions) or "none"
            raise ValueError(f"parameter 'metric_name' is '{self.metric_name}'; 'metric_definitions' has {names}")
        if twice := sorted(set(self.ranges) & set(self.hyperparameters)):
            raise ValueError(f"'{twice[0]}' is in 'ranges' and in 'hyperparameters'; expected one of them")
        return self

    def run(self) -> Mapping[str, str]:
        from ncf.aws.names import run_identity
        from ncf.aws.session import Aws
        from ncf.sagemaker.jobs.inputs import Inputs, sources
        from ncf.sagemaker.jobs.job import run_job
        from ncf.sagemaker.jobs.plan import job_name
        from ncf.sagemaker.staging import Staging
        from ncf.sagemaker.training.kind import TRAINING
        from ncf.sagemaker.training.plan import model_uri
        from ncf.sagemaker.tuning.settings import RESERVED

        settings = TuningSettings.of(self)
        aws = Aws(settings)
        run = run_identity(settings.run_id)
        inputs = Inputs.of(ARTIFACTS, self, sources(self.channels))
        search = Search(**{field: getattr(self, field) for field in Search.model_fields})
        content = {"program": self.identity(), "search": search.identity(), "inputs": inputs.identity()}
        name = job_name(settings, self.command_name(), run, content, RESERVED)
        staging = Staging(settings.s3_prefix, name)
        plan = self._plan(aws, name, run, settings, search, inputs, staging)
        plan.check(aws)
        job = run_job(aws, plan, inputs.uploader(staging), write=say)
        best = job.get("BestTrainingJob", {})
        if "FinalHyperParameterTuningJobObjectiveMetric" not in best:
            raise RemoteError(f"tuning job {plan.kind.name_of(job)} has ended without a value of '{self.metric_name}'")
        trained = aws.call("sagemaker", TRAINING.describe, None, **TRAINING.by_name(best["TrainingJobName"]))
        uri, output = model_uri(trained), self.uri_of("best_model")
        if not is_s3(output):
            download(uri, self.best_model / "model.tar.gz" if self.compress_model else self.best_model)
        self.best_hyperparameters.write_text(json.dumps({**plan.hyperparameters, **best["TunedHyperParameters"]}))
        self.model_uri.write_text(uri)
        self.best_job_name.write_text(best["TrainingJobName"])
        self.job_name.write_text(plan.kind.name_of(job))
        self._report(aws, plan, job, uri)
        return {"best_model": uri} if is_s3(output) else {}

    def _plan(
        self, aws: Aws, name: str, run: str, settings: TuningSettings, search: Search, inputs: Any, staging: Any
    ) -> TuningPlan:
        from ncf.aws.ecr import pinned
        from ncf.sagemaker.training.program import as_texts
        from ncf.sagemaker.tuning.plan import TuningPlan

        return TuningPlan(
            name=name,
            run=run,
            settings=settings,
            search=search,
            hyperparameters=as_texts(self.hyperparameters),
            channels={channel: source.channel() for channel, source in inputs.sources(staging).items()},
            output=staging.uri("best_model", self.uri_of("best_model")),
            image=pinned(aws, "train_image", self.train_image),
            environment=self.environment,
            metrics=self.metric_definitions,
            is_compressed=self.compress_model,
            input_mode=self.input_mode,
        )

    def _report(self, aws: Aws, plan: TuningPlan, job: Mapping[str, Any], uri: str) -> None:
        """Write metrics, report and summary."""
        from ncf.reports import tuning as report
        from ncf.reports.job import markdown
        from ncf.reports.markdown import code
        from ncf.sagemaker.jobs.figures import figures
        from ncf.sagemaker.tuning.trials import trials

        name, is_maximized = plan.kind.name_of(job), self.metric_type == "Maximize"
        found = [
            report.TrialResult(**{key: value for key, value in asdict(trial).items() if key != "reason"})
            for trial in trials(aws, name)
        ]
        best = job["BestTrainingJob"]
        value = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        rows = {
            f"best {self.metric_name}": f"{value:g}",
            "best trial": code(best["TrainingJobName"]),
            **{key: code(text) for key, text in best["TunedHyperParameters"].items()},
            "model": code(uri),
            "trials": len(found),
        }
        ended = figures(aws, plan, job, rows)
        counts = {"trials": len(found), "completed": sum(trial.status == "Completed" for trial in found)}
        metrics = {self.metric_name: value, **counts, **ended.metrics()}
        self.metrics.write_text(json.dumps(metrics, indent=2) + "\n")
        self.report.write_text(report.html(f"Tuning job {name}", found, self.metric_name, is_maximized))
        table = report.table(report.best_first(found, is_maximized), self.metric_name)
        heading = markdown(ended, aws.console_url(f"{plan.kind.page}/{name}"))
        self.summary.write_text(f"{heading}\n## Trials\n\n{table}\n")
