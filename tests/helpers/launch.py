"""Training jobs of the tests, and their launcher."""

from __future__ import annotations

from typing import Any

from fake_sagemaker import REGISTRY, ROLE

from ncf.aws.session import Aws
from ncf.sagemaker.jobs.job import run_job
from ncf.sagemaker.training.job_plan import JobPlan, job_name
from ncf.sagemaker.training.settings import JobSettings

IMAGE = f"{REGISTRY}/ncf-train:1"


def plan(output: str = "s3://b/run/train/trained_model", **settings: Any) -> JobPlan:
    chosen = JobSettings(**{"role": ROLE, "train_image": IMAGE, **settings})
    hyperparameters = {"epochs": "2", "tower": "[8, 4]"}
    return JobPlan(
        run="run-1",
        name=job_name(chosen, "run-1", hyperparameters, {"dataset": "d", "samples": "s"}),
        settings=chosen,
        hyperparameters=hyperparameters,
        channels={"dataset": "s3://b/dataset", "samples": "s3://b/samples"},
        output=output,
    )


class Launch:
    """One try of the launcher.

    Attributes:
        lines: of the log that it wrote.
        uploads: number of times that it uploaded the inputs.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.uploads = 0

    def upload(self) -> None:
        self.uploads += 1

    def run(self, aws: Aws, plan: JobPlan) -> dict[str, Any]:
        return run_job(aws, plan, self.upload, self.lines.append)
