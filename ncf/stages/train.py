"""The train stage: a SageMaker training job."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, model_validator

from ncf.artifacts import dataset as dataset_layout
from ncf.artifacts import model_folder
from ncf.artifacts import samples as samples_layout
from ncf.artifacts.model_folder import HISTORY
from ncf.console_text import visible
from ncf.errors import InputError
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.sagemaker.training.settings import JobSettings
from ncf.stage.declaration import LAUNCHER, Input, Output, OutputParameter, Stage
from ncf.stage.overrides import overridden
from ncf.storage import download, is_s3, local_copy
from ncf.training.history import compared_metrics
from ncf.training.hyperparameters import CHAMPION, Hyperparameters, WarmStart

if TYPE_CHECKING:
    from ncf.aws.session import Aws

_log = logging.getLogger(__name__)
_KINDS = {"dataset": dataset_layout.KIND, "samples": samples_layout.KIND, "warm_start": model_folder.KIND}
"""Kind of artifact in each channel of the job; 'warm_start' is optional."""


class Train(Stage, Hyperparameters, WarmStart, ChampionSettings, JobSettings):
    """Train a model in a SageMaker training job.

    A retry attaches to the training job of the first attempt. SageMaker reads and writes artifacts in S3 directly.
    Artifacts outside S3 are copied through 's3_prefix'.
    """

    image = LAUNCHER
    calls = (
        "ncf.storage",
        "ncf.aws.ecr",
        "ncf.aws.logs",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.champion",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.live",
        "ncf.sagemaker.hosting.running_experiment",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.jobs.job",
        "ncf.sagemaker.jobs.pricing",
        "ncf.sagemaker.jobs.stopping",
        "ncf.sagemaker.registry.package",
        "ncf.sagemaker.training.kind",
        "ncf.sagemaker.training.measured_speed",
        "ncf.sagemaker.training.plan",
    )
    default_images = {"train_image": "train"}

    read_too = ("warm_start",)

    dataset: str = Input("Dataset", "Folder written by preprocess")
    samples: str = Input("Dataset", "Folder written by negative-sampling for that data set")
    train_overrides: dict[str, Any] = Field(
        {}, description="Parameters of training and its job as {name: value}; they override the individual parameters"
    )

    trained_model: Path = Output("Model", "Weights, and all data for evaluation and serving")
    metrics: Path = Output("Metrics", "Metrics on the validation positives, the best epoch and the speed")
    model_uri: Path = OutputParameter(str, "S3 URI of the model folder, for stages with a parameter of that name")
    summary: Path = Output("Markdown", "The job: status, times, location of the model, and a console link")

    @model_validator(mode="after")
    def _overrides_fit(self) -> Train:
        chosen, start, _ = self.chosen()
        start.check_start(chosen.pretrain)
        if start.warm_start == CHAMPION and not (self.champion_endpoint or self.champion_group):
            raise ValueError(
                f"parameter 'warm_start' is '{CHAMPION}', but neither 'champion_endpoint' nor 'champion_group' is set; "
                "expected one of them"
            )
        return self

    def chosen(self) -> tuple[Hyperparameters, WarmStart, JobSettings]:
        """Hyperparameters, warm start and settings of the job, with the overrides applied.

        Raises:
            ValueError: if an override is invalid. The message names it and the accepted values.
        """
        made = overridden(self, "train_overrides", Hyperparameters, WarmStart, JobSettings)
        return cast("tuple[Hyperparameters, WarmStart, JobSettings]", made)

    def s3_region(self) -> str:
        return self.chosen()[2].region

    def run(self) -> Mapping[str, str]:
        from ncf.aws.ecr import pinned
        from ncf.aws.names import run_identity
        from ncf.aws.session import Aws
        from ncf.reports.job import markdown
        from ncf.reports.markdown import code
        from ncf.sagemaker.jobs.figures import figures
        from ncf.sagemaker.jobs.job import run_job
        from ncf.sagemaker.staging import Staging, fingerprint
        from ncf.sagemaker.training.job_plan import JobPlan, job_name
        from ncf.sagemaker.training.plan import model_uri

        chosen, start, settings = self.chosen()
        aws = Aws(settings)
        run = run_identity(settings.run_id)
        hyperparameters = _as_strings(chosen)
        with self._earlier(aws, start.warm_start, settings.run_id) as (earlier, origin):
            inputs = {"dataset": self.dataset, "samples": self.samples, **({"warm_start": earlier} if earlier else {})}
            uris = {"dataset": self.uri_of("dataset"), "samples": self.uri_of("samples"), "warm_start": earlier}
            identity = {channel: fingerprint(location, _KINDS[channel]) for channel, location in inputs.items()}
            if start.warm_start == CHAMPION:
                identity["warm_start"] = CHAMPION  # a retry attaches to the job, whatever is live by then
            name = job_name(settings, run, hyperparameters, identity)
            staging = Staging(settings.s3_prefix, name)
            output = self.uri_of("trained_model")
            plan = JobPlan(
                name=name,
                run=run,
                settings=settings,
                hyperparameters=hyperparameters,
                channels={channel: staging.uri(channel, uris[channel]) for channel in inputs},
                output=staging.uri("trained_model", output),
                origins={**uris, "warm_start": origin},
                image=pinned(aws, "train_image", settings.train_image),
            )
            plan.check(aws)

            def upload() -> None:
                if earlier:
                    self._check_architecture(chosen, earlier)
                self._log_forecast(aws, chosen, settings)
                for channel, location in inputs.items():
                    staging.upload_if_local(channel, location, uris[channel])

            job = run_job(aws, plan, upload, write=lambda line: print(visible(line), flush=True))
        uri = model_uri(job)
        self.model_uri.write_text(uri)
        with tempfile.TemporaryDirectory(prefix="ncf-") as folder:
            if is_s3(output):
                history = download(f"{uri}/{HISTORY}", Path(folder) / HISTORY)
            else:
                history = download(uri, self.trained_model) / HISTORY
            ended = figures(aws, plan, job, {"model": code(uri)})
            metrics = compared_metrics(json.loads(history.read_text())) | ended.metrics()
            self.metrics.write_text(json.dumps(metrics, indent=2) + "\n")
        url = aws.console_url(f"jobs/{job['TrainingJobName']}")
        self.summary.write_text(markdown(ended, url))
        return {"trained_model": uri} if is_s3(output) else {}

    def _log_forecast(self, aws: Aws, chosen: Hyperparameters, settings: JobSettings) -> None:
        """Log what the job is expected to take. A data set that cannot be read is the job's to refuse."""
        from ncf.forecast import size, text
        from ncf.sagemaker.training.job_forecast import training_forecast
        from ncf.sagemaker.training.refit import cost_of_refit

        try:
            with local_copy(self.dataset, size.names_to_read) as folder:
                found = size.size_of_folder(folder)
        except InputError as error:
            _log.info("no forecast of the training job: %s", error)
            return
        training = training_forecast(aws, found, chosen, settings, self)
        if chosen.refit:
            _log.info("%s", cost_of_refit(training.instances))
        for line in (text.data_line(found), text.training_line(training), *text.notes(found, training, {})):
            _log.info("forecast: %s", line)

    @contextmanager
    def _earlier(self, aws: Aws, warm_start: str, run: str) -> Iterator[tuple[str, str]]:
        """Folder of the model to start from, path or URI, and where it comes from; both '' for none."""
        from ncf.artifacts.archive import SUFFIXES
        from ncf.sagemaker.hosting.champion import champion_model
        from ncf.sagemaker.hosting.deployed_model import local_model

        if warm_start != CHAMPION:
            yield warm_start, warm_start
            return
        found = champion_model(aws, self, run)
        if not found.uri:
            _log.info("no champion to start from: %s", found.absence)
            yield "", ""
            return
        _log.info("starting from the champion: %s, %s", found.name, found.uri)
        if found.uri.endswith(SUFFIXES):  # the training container reads a folder
            with local_model(found.uri) as folder:
                yield str(folder), found.uri
        else:
            yield found.uri, found.uri

    def _check_architecture(self, chosen: Hyperparameters, earlier: str) -> None:
        """Refuse a warm start from another architecture, before the job is paid for."""
        from ncf.sagemaker.staging import manifest_of
        from ncf.training.architecture import check_same_architecture

        has_days = dataset_layout.DAYS in manifest_of(self.dataset, dataset_layout.KIND)["files"]
        before = manifest_of(earlier, model_folder.KIND)["parameters"]
        # without times in the data, the architecture does not depend on 'history'
        check_same_architecture(chosen.model_dump(mode="json"), before, but=() if has_days else ("history",))


def _as_strings(hyperparameters: Hyperparameters) -> dict[str, str]:
    values = hyperparameters.model_dump(mode="json").items()
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values}
