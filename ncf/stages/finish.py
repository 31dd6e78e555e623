"""The stage that ends a run, whatever became of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ncf.sagemaker.settings import AwsAccess, checked_run_id
from ncf.stage import FinalStatus, Output, Stage

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w.-]+")
_URL = re.compile(r"https?://\S+")
_GOOD = "SUCCEEDED"
_UNKNOWN = "ENDED"


class Finish(Stage, AwsAccess):
    """Stop what a run has left running, and tell somebody how it ended.

    As the exit handler of a pipeline it runs in any case, unless the run is terminated. Training jobs of the run that
    are still in progress have nobody any more who waits for them.
    """

    run_id: str = Field(min_length=1, description="ID of the run")
    status: FinalStatus = Field(FinalStatus(""), description="How the run ended, as KFP tells an exit handler")
    train_overrides: dict[str, Any] = Field(
        {}, description="The train stage's: region, assume_role and profile in it say where its jobs are"
    )
    notify: str = Field("", description="Whom to tell: ARN of an SNS topic, or URL to POST JSON to; '': nobody")
    notify_on: Literal["failure", "always"] = Field("failure", description="Runs to tell of: failure or always")

    summary: Path = Output("Markdown", "How the run ended, and what was stopped")

    @field_validator("run_id")
    @classmethod
    def _is_run(cls, value: str) -> str:
        return checked_run_id(value)

    @field_validator("notify")
    @classmethod
    def _can_be_told(cls, value: str) -> str:
        if value and not _TOPIC.fullmatch(value) and not _URL.fullmatch(value):
            raise ValueError(
                "expected the ARN of an SNS topic, as arn:aws:sns:us-east-1:123456789012:NAME, or an https:// URL"
            )
        return value

    def run(self) -> None:
        from ncf.sagemaker import jobs, notification
        from ncf.sagemaker.session import Aws

        own = {name: self.train_overrides.get(name, getattr(self, name)) for name in AwsAccess.model_fields}
        aws = Aws(AwsAccess(**own))
        state, reason = _ending(self.status)
        stopped = []
        for job in list(jobs.running(aws, self.run_id)):
            jobs.mark_left(aws, job.arn, "finish")
            if jobs.stop(aws, job.name):
                stopped.append(job.name)
        message = notification.Message(self.run_id, state, reason, stopped)
        self.summary.write_text(message.markdown(aws))
        print(message.text)
        failed = state not in (_GOOD, _UNKNOWN) or bool(stopped)
        if self.notify and (failed or self.notify_on == "always"):
            notification.send(aws, self.notify, message)


def _ending(status: str) -> tuple[str, str]:
    """KFP's state and error message; of a backend that tells nothing, that the run has ended."""
    try:
        content: Any = json.loads(status)
        state = str(content["state"])
    except (ValueError, LookupError, TypeError):
        return _UNKNOWN, ""
    error = content.get("error") or {}
    return state, " ".join(str(error.get("message", "")).split())
