"""The evaluate stage: metrics of a model, comparisons, and the gate before deployment."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator, model_validator

from ncf.artifacts import manifest
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError
from ncf.evaluation.gate import NotWorseThan
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.sagemaker.settings import checked_run_id
from ncf.seed import seed_field
from ncf.stage.declaration import Input, Output, OutputParameter, Stage
from ncf.stage.pod import Pod
from ncf.storage import local_copy

if TYPE_CHECKING:
    from ncf.artifacts.model_folder import ModelFolder
    from ncf.evaluation.champion import Champion
    from ncf.evaluation.evaluation import Evaluation
    from ncf.evaluation.summary import Summary

_log = logging.getLogger(__name__)


class Evaluate(Stage, ChampionSettings, AwsAccess):
    """Evaluate a model on the test items, compare it with baselines and a champion, and apply the gate.

    Each test item is ranked in the whole catalogue and among its sampled candidates. The champion is the model to be
    replaced. A closed gate is a result, not an error: the stage succeeds, and deploy does not run.
    """

    pod = Pod(cpu="2", memory="8G")
    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.hosting.champion",
        "ncf.sagemaker.hosting.deployed_model",
        "ncf.sagemaker.hosting.live",
        "ncf.sagemaker.hosting.packages",
        "ncf.sagemaker.registry.package",
    )

    read_too = ("champion",)

    model: str = Input("Model", "Folder written by train")
    samples: str = Input("Dataset", "Folder written by negative-sampling for the same data set")
    min_hr_at_10: float = Field(
        0.0, ge=0, le=1, description="Minimum HR@10 among the drawn items for the gate; 0: no minimum"
    )
    not_worse_than: NotWorseThan = Field(
        "best",
        description=(
            "Baseline that the model must not be worse than: best (the best one), popularity or none. The gate closes "
            "if the whole 95 % interval of the difference in NDCG@10 on the whole catalogue lies below 0"
        ),
    )
    champion: str = Field(
        "",
        description="Path or S3 URI of the champion, a folder written by train; '': see 'champion_endpoint'",
    )
    max_loss_to_champion: float = Field(
        0.005,
        ge=0,
        le=1,
        description=(
            "Maximum loss of NDCG@10 against the champion, on the whole catalogue if enough users can be compared "
            "there. The gate closes if the whole 95 % interval of the difference, paired by user, lies below the "
            "negative of this value, so that noise alone does not close it. The default is about the difference "
            "between two seeds"
        ),
    )
    max_eval_users: int = Field(
        2000,
        ge=1,
        le=10_000_000,
        description="Maximum number of users of the evaluation over the whole catalogue, drawn by seed",
    )
    bootstrap_resamples: int = Field(
        1000,
        ge=100,
        le=100_000,
        description="Number of bootstrap resamples of the test users for each confidence interval",
    )
    run_id: str = Field("", description="ID of the run, whose own model is no champion; '': none")
    seed: int = seed_field("Seed of the drawn users and of the bootstrap")

    metrics: Path = Output("Metrics", "HR, NDCG, Recall and MRR of model, baselines and champion, with intervals")
    report: Path = Output("HTML", "Plots of the evaluation: baselines, champion, groups, popularity")
    diff: Path = Output("HTML", "What changes for users: lists and metrics of the model beside the champion's")
    summary: Path = Output("Markdown", "The gate and a short table of metrics")
    passed: Path = OutputParameter(bool, "Whether the gate is open")

    @field_validator("run_id")
    @classmethod
    def _is_run(cls, value: str) -> str:
        return checked_run_id(value)

    @model_validator(mode="after")
    def _one_champion(self) -> Evaluate:
        for other in ("champion_endpoint", "champion_group"):
            if self.champion and getattr(self, other):
                raise ValueError(
                    f"parameters 'champion' ({self.champion}) and '{other}' ({getattr(self, other)}) both name a "
                    "champion; expected one of them, or none"
                )
        return self

    def run(self) -> None:
        from ncf.artifacts.model_folder import KIND, ModelFolder
        from ncf.artifacts.provenance import Provenance
        from ncf.artifacts.samples import Samples
        from ncf.evaluation.evaluation import evaluate
        from ncf.evaluation.examples import examples
        from ncf.evaluation.gate import gate, with_gate
        from ncf.evaluation.summary import summarise
        from ncf.reports.evaluation import EvaluationReport
        from ncf.reports.html import settings_table

        with local_copy(self.model) as model_folder, local_copy(self.samples) as samples_folder:
            model, samples = ModelFolder.load(model_folder), Samples.load(samples_folder)
            provenance = Provenance.of(manifest.read(model_folder, KIND))
            fitted_on = provenance.fingerprint
            if fitted_on and samples.dataset and fitted_on != samples.dataset:
                raise InputError(
                    f"{self.model}: fitted on data set {fitted_on[:12]}, but {self.samples} were drawn for "
                    f"{samples.dataset[:12]}; expected the samples of the model's own training"
                )
            with self._champion_of(model) as (champion, absence):
                evaluation = evaluate(model, samples, self.max_eval_users, self.seed, champion, absence)
                if evaluation.no_comparison:
                    _log.info("no champion: %s", evaluation.no_comparison)
                summary = summarise(model, evaluation, self.bootstrap_resamples, self.seed)
                lists = self._diff(model, champion, evaluation, summary)
            checks = gate(summary, self.min_hr_at_10, self.not_worse_than, self.max_loss_to_champion)
            passed = all(check.passed for check in checks)
            for check in checks:
                _log.info("gate: %s: %s", "holds" if check.passed else "fails", check.text)
            content = with_gate({**lists, **summary.content()}, checks)
            self.metrics.write_text(json.dumps(content, indent=2) + "\n")
            own = {name: value for name, value in self.parameter_values().items() if name not in AwsAccess.model_fields}
            report = EvaluationReport(
                model=model,
                provenance=provenance,
                evaluation=evaluation,
                summary=summary,
                checks=checks,
                examples=examples(model, samples.test),
                settings=settings_table(own, self.parameters()),
                max_loss_to_champion=self.max_loss_to_champion,
            )
            self.report.write_text(report.html())
            self.summary.write_text(report.markdown())
            self.passed.write_text(json.dumps(passed))

    def _diff(
        self, model: ModelFolder, champion: Champion | None, evaluation: Evaluation, summary: Summary
    ) -> Mapping[str, float]:
        """Write the diff.

        Returns:
            Its figures; none without a champion.
        """
        from ncf.evaluation.diff import diff
        from ncf.reports.diff import DiffReport, absence_page

        if champion is None:
            self.diff.write_text(absence_page(evaluation.no_comparison))
            return {}
        difference = diff(champion.folder, model, self.max_eval_users, self.seed)
        report = DiffReport(
            difference=difference,
            groups=difference.of_groups(evaluation.comparison, self.bootstrap_resamples, self.seed),
            before=champion.name,
            after="this run's model",
            metrics=summary.champion,
            no_metrics=evaluation.no_comparison,
            seed=self.seed,
        )
        _log.info("diff: %s", report.verdict)
        self.diff.write_text(report.html())
        return difference.values()

    @contextmanager
    def _champion_of(self, model: ModelFolder) -> Iterator[tuple[Champion | None, str]]:
        """The champion and '', or None and the reason.

        Raises:
            InputError: if ``champion`` is not a readable model.
            RemoteError: if AWS refuses a call.
        """
        from ncf.artifacts.model_folder import ModelFolder
        from ncf.evaluation.champion import Champion

        if self.champion:
            with local_copy(self.champion) as folder:
                try:
                    loaded = ModelFolder.load(folder)
                except InputError as error:
                    raise InputError(
                        f"parameter 'champion' is '{self.champion}': {error}; expected a folder written by train"
                    ) from None
                yield Champion(loaded, model, self.champion.rstrip("/").rpartition("/")[2]), ""
            return
        if not (self.champion_endpoint or self.champion_group):
            yield None, "None of 'champion', 'champion_endpoint' and 'champion_group' is set."
            return

        from ncf.aws.session import Aws
        from ncf.sagemaker.hosting.champion import champion_model
        from ncf.sagemaker.hosting.deployed_model import local_model

        found = champion_model(Aws(self), self, self.run_id)
        if found.absence:
            yield None, found.absence
            return
        with ExitStack() as stack:
            champion, fault = None, ""
            try:
                folder = stack.enter_context(local_model(found.uri))
            except InputError as error:
                if found.is_live:
                    raise
                fault = f"The model of {found.name} cannot be read: {error}"  # its objects may be deleted
            else:
                try:
                    champion = Champion(ModelFolder.load(folder), model, found.name)
                except InputError as error:  # another kind or an earlier schema must not block its replacement
                    fault = f"The model of {found.name} cannot be compared: {error}"
            yield champion, fault
