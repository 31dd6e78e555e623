"""The stage that evaluates a model and decides on its release."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from pydantic import Field

from ncf.data import manifest
from ncf.errors import InputError
from ncf.stage import Input, Output, OutputParameter, Stage
from ncf.storage import local_copy

_log = logging.getLogger(__name__)


class Evaluate(Stage):
    """Rank each test item among its candidates, compare the model with baselines, and open or close the gate.

    A closed gate is a result, not an error: the stage succeeds, and deploy does not run.
    """

    model: str = Input("Model", "Folder written by train")
    samples: str = Input("Dataset", "Folder written by negative-sampling, of the same data set")
    min_hr_at_10: float = Field(0.0, ge=0, le=1, description="HR@10 that the gate asks for at least; 0: none")
    not_worse_than_popularity: bool = Field(
        True, description="Whether the gate asks for HR@10 and NDCG@10 at least as good as popularity's"
    )
    max_eval_users: int = Field(
        2000,
        ge=1,
        le=10_000_000,
        description="Users at most that the full catalogue is ranked for, drawn by seed",
    )
    bootstrap_resamples: int = Field(
        1000,
        ge=100,
        le=100_000,
        description="Resamples of the test positives behind each confidence interval",
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of the users drawn and of the resampling")

    metrics: Path = Output("Metrics", "HR, NDCG and MRR of model and baselines, intervals, full-catalogue figures")
    report: Path = Output("HTML", "The evaluation with curves, groups and baselines")
    summary: Path = Output("Markdown", "The gate and a short table")
    passed: Path = OutputParameter(bool, "Whether the gate is open")

    def run(self) -> None:
        from ncf.evaluation import page
        from ncf.evaluation.evaluation import evaluate, gate, summarise
        from ncf.models.model_folder import KIND, ModelFolder
        from ncf.sampling.samples import Samples

        with local_copy(self.model) as model_folder, local_copy(self.samples) as samples_folder:
            model, samples = ModelFolder.load(model_folder), Samples.load(samples_folder)
            fitted_on = manifest.read(model_folder, KIND)["source"].get("fingerprint", "")
            if fitted_on and samples.dataset and fitted_on != samples.dataset:
                raise InputError(
                    f"{self.model}: fitted on data set {fitted_on[:12]}, but {self.samples} were drawn for "
                    f"{samples.dataset[:12]}; evaluate a model with the samples that it was trained with"
                )
            evaluation = evaluate(model, samples, self.max_eval_users, self.seed)
            values = summarise(evaluation, self.bootstrap_resamples, self.seed)
            checks = gate(values, self.min_hr_at_10, self.not_worse_than_popularity)
            passed = all(check.passed for check in checks)
            for check in checks:
                _log.info("gate: %s: %s", "holds" if check.passed else "fails", check.text)
            self.metrics.write_text(json.dumps(values, indent=2) + "\n")
            self.report.write_text(page.html(model, samples, evaluation, values, checks, passed))
            self.summary.write_text(page.markdown(evaluation, values, checks, passed))
            self.passed.write_text(json.dumps(passed))
