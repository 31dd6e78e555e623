"""The finish stage: cleanup and notification at the end of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ncf.aws.names import JOB_PREFIX
from ncf.aws.settings import AwsAccess
from ncf.console_text import visible
from ncf.sagemaker.settings import checked_run_id
from ncf.stage.declaration import LAUNCHER, FinalStatus, Output, Stage


class Finish(Stage, AwsAccess):
    """Stop jobs that a run has left behind, determine the outcome of the run, and send a notification.

    Exit handler of a pipeline of train, evaluate and deploy, of deploy alone, or of monitor. It runs when the run
    succeeds, fails or is terminated. It does not run again when an ended run is retried. The outcome follows from the
    training jobs, the endpoint and the outputs of the run. An unknown outcome or an undelivered notification does not
    fail the run.
    """

    image = LAUNCHER
    calls = (
        "ncf.storage",
        "ncf.aws.session",
        "ncf.aws.tags",
        "ncf.sagemaker.jobs.stopping",
        "ncf.sagemaker.processing.kind",
        "ncf.sagemaker.runs.notification",
        "ncf.sagemaker.runs.resources",
        "ncf.sagemaker.training.kind",
        "ncf.sagemaker.transform.kind",
        "ncf.sagemaker.tuning.kind",
    )

    run_id: str = Field(min_length=1, description="ID of the run")
    status: FinalStatus = Field(FinalStatus(""), description="Final status of the run, filled in by KFP")
    trains: bool = Field(True, description="Whether the run trains a model")
    last_stage: Literal["deploy", "monitor"] = Field(
        "deploy", description="Stage that the run ends with: 'deploy' or 'monitor'"
    )
    train_overrides: dict[str, Any] = Field(
        {},
        description="Parameter of the train stage; region, assume_role, profile and job_prefix in it apply to its jobs",
    )
    job_prefix: str = Field(JOB_PREFIX, description="Parameter of the train stage")
    deploy_overrides: dict[str, Any] = Field(
        {},
        description="Parameter of the deploy stage; region, assume_role, profile and endpoint_name in it apply to the "
        "endpoint",
    )
    endpoint_name: str = Field(
        "", description="Parameter of the deploy stage: name of the endpoint; '': the endpoint named after the run"
    )
    release: Literal["", "at_once", "on_approval", "never"] = Field(
        "", description="Parameter of the register stage; '': the pipeline has no such stage, and releases at once"
    )
    notify: str = Field(
        "",
        description="Target of the notification: ARN of an SNS topic, or URL for a POST of JSON; '': no notification",
    )
    notify_on: Literal["failure", "always"] = Field(
        "failure", description="Outcomes that are notified: 'failure' (failed or unknown) or 'always'"
    )

    summary: Path = Output("Markdown", "Outcome of the run and its reason, jobs, endpoint, and stopped resources")

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
            job_prefix=str(self.train_overrides.get("job_prefix", self.job_prefix)),
            endpoint_name=self.deploy_overrides.get("endpoint_name", self.endpoint_name),
            trains=self.trains,
            release=self.release,
            last=self.last_stage,
        )
        judged = verdict(evidence)
        message = Message(evidence, judged)
        print(visible(message.text))
        undelivered = ""
        if self.notify and (judged.outcome != "succeeded" or self.notify_on == "always"):
            undelivered = notify(self, self.notify, message)
        self.summary.write_text(message.markdown(undelivered))

    def _access(self, overrides: dict[str, Any]) -> dict[str, Any]:
        return {name: overrides.get(name, getattr(self, name)) for name in AwsAccess.model_fields}


def _state(status: str) -> str:
    """State of the run according to KFP; '' if the backend provides none."""
    try:
        return str(json.loads(status)["state"])
    except (ValueError, LookupError, TypeError):
        return ""
