"""The stage that ends a run, whatever became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ncf.aws.settings import AwsAccess
from ncf.sagemaker.settings import checked_run_id
from ncf.stage.declaration import LAUNCHER, FinalStatus, Output, Stage


class Finish(Stage, AwsAccess):
    """Stop what a run has left running, find out how it ended, and tell somebody.

    It is the exit handler of a pipeline of train, evaluate and deploy, and runs whether the run succeeds, fails or is
    terminated; when a run that has ended is retried, it does not run again. How the run ended follows from its
    training jobs, its endpoint and its outputs. What cannot be found out, or told, does not fail the run.
    """

    image = LAUNCHER
    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.runs.notification",
        "ncf.sagemaker.runs.resources",
        "ncf.sagemaker.training.jobs",
        "ncf.sagemaker.training.stopping",
    )

    run_id: str = Field(min_length=1, description="ID of the run")
    status: FinalStatus = Field(FinalStatus(""), description="How the run ended, as KFP tells an exit handler")
    train_overrides: dict[str, Any] = Field(
        {}, description="The train stage's: region, assume_role and profile in it say where its jobs are"
    )
    deploy_overrides: dict[str, Any] = Field(
        {}, description="The deploy stage's: region, assume_role, profile and endpoint_name in it say which endpoint"
    )
    endpoint_name: str = Field("", description="The deploy stage's: name of the endpoint; '': one of the run's own")
    notify: str = Field("", description="Whom to tell: ARN of an SNS topic, or URL to POST JSON to; '': nobody")
    notify_on: Literal["failure", "always"] = Field(
        "failure", description="Runs to tell of: failure (and those whose end is unknown) or always"
    )

    summary: Path = Output("Markdown", "How the run ended and why, its jobs and endpoint, and what was stopped")

    @field_validator("run_id")
    @classmethod
    def _is_run(cls, value: str) -> str:
        return checked_run_id(value)

    def run(self) -> None:
        from ncf.sagemaker.runs.evidence import gather
        from ncf.sagemaker.runs.notification import Message, notify
        from ncf.sagemaker.runs.outcome import verdict

        evidence = gather(
            self.run_id,
            _state(self.status),
            self.uri_of("summary"),
            train=self._access(self.train_overrides),
            deploy=self._access(self.deploy_overrides),
            endpoint_name=self.deploy_overrides.get("endpoint_name", self.endpoint_name),
        )
        judged = verdict(evidence)
        message = Message(evidence, judged)
        print(message.text)
        undelivered = ""
        if self.notify and (judged.outcome != "succeeded" or self.notify_on == "always"):
            undelivered = notify(self, self.notify, message)
        self.summary.write_text(message.markdown(undelivered))

    def _access(self, overrides: dict[str, Any]) -> dict[str, Any]:
        return {name: overrides.get(name, getattr(self, name)) for name in AwsAccess.model_fields}


def _state(status: str) -> str:
    """KFP's state; '' of a backend that tells none."""
    try:
        return str(json.loads(status)["state"])
    except (ValueError, LookupError, TypeError):
        return ""
