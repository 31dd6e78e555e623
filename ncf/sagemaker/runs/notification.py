"""Notifications through an SNS topic or a webhook, and that of a run's outcome."""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.errors import InputError, RemoteError
from ncf.reports import run as report
from ncf.sagemaker.runs.outcome import Evidence, Job, RunEndpoint, Verdict, endpoint_text, job_text
from ncf.sagemaker.runs.settings import check_notify

_log = logging.getLogger(__name__)

CALLS = ("sns:Publish",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_MAX_SUBJECT_LENGTH = 100
_TRIES, _PAUSE_SECONDS, _TIMEOUT_SECONDS = 3, 2.0, 10.0


class Notice(Protocol):
    """What is sent."""

    @property
    def title(self) -> str:
        """Subject of an e-mail."""

    @property
    def text(self) -> str:
        """The message on one line."""

    def body(self) -> dict[str, Any]:
        """The message as the JSON body of a POST request, with the key ``text``."""


@dataclass(frozen=True)
class Message:
    """A message about the outcome of a run: a :class:`Notice`."""

    evidence: Evidence
    verdict: Verdict

    @property
    def title(self) -> str:
        return f"NCF run {self.evidence.run}: {self.verdict.title}"

    @property
    def text(self) -> str:
        """The message on one line: outcome, reason, and each job and endpoint with a link."""
        resources = self._resources()
        more = [resource.text for resource in resources if resource.text not in self.verdict.reason]
        urls = [resource.url for resource in resources if resource.url]
        return "; ".join([self.title, self.verdict.reason, *more, *urls])

    def body(self) -> dict[str, Any]:
        """The message as the JSON body of a POST request. Chat services show ``text``."""
        evidence = self.evidence
        return {
            "text": self.text,
            "run": evidence.run,
            "state": self.verdict.outcome,
            "reason": self.verdict.reason,
            "stopped": [job.name for job in (*evidence.jobs, *evidence.others) if job.is_stopped],
            "jobs": [_brief(job) for job in (*evidence.jobs, *evidence.others)],
            "endpoints": [_brief(endpoint) for endpoint in evidence.endpoints],
        }

    def markdown(self, undelivered: str) -> str:
        """The message in Markdown.

        Args:
            undelivered: result of :func:`notify`.
        """
        evidence = self.evidence
        remarks = [f"the run's {kind} are not known completely: {why}" for kind, why in evidence.incomplete.items()]
        if undelivered:
            remarks.append(undelivered)
        if evidence.trains and "jobs" not in evidence.incomplete and not any(job.note for job in evidence.jobs):
            remarks.append("no training job was in progress")
        remarks.append(f"KFP's state in the exit handler: {evidence.kfp_state or 'none'}")
        return report.markdown(self.title, self.verdict.reason, self._resources(), remarks)

    def _resources(self) -> list[report.Resource]:
        evidence = self.evidence
        return [
            *(report.Resource(job.name, job_text(job), job.url) for job in (*evidence.jobs, *evidence.others)),
            *(
                report.Resource(entry.name, endpoint_text(entry, evidence.run), entry.url)
                for entry in evidence.endpoints
            ),
        ]


def _brief(resource: Job | RunEndpoint) -> dict[str, str]:
    return {"name": resource.name, "status": resource.status, "url": resource.url}


def notify(access: AwsAccess, recipient: str, message: Notice) -> str:
    """Send a message to an SNS topic or a URL.

    Args:
        access: to call SNS with, in the topic's own region.
        recipient: ARN of the topic, or the URL. A URL may contain a secret, and appears in no message or log line.
        message: to send.

    Returns:
        The reason why the message was not delivered, which does not fail the run; '' if it was delivered.
    """
    try:
        _send(access, recipient, message)
    except (InputError, RemoteError) as error:
        undelivered = f"the notification was not delivered: {' '.join(str(error).split())}"
        _log.warning("%s", undelivered)
        return undelivered
    return ""


def _send(access: AwsAccess, recipient: str, message: Notice) -> None:
    try:
        check_notify(recipient)
    except ValueError as error:
        raise InputError(str(error)) from None
    if not recipient.startswith("arn:"):
        _post(recipient, message)
        return
    region = recipient.split(":")[3]
    subject = message.title[:_MAX_SUBJECT_LENGTH]
    aws = Aws(access.model_copy(update={"region": region}))
    aws.call("sns", "publish", TopicArn=recipient, Subject=subject, Message=message.text)


def _post(url: str, message: Notice) -> None:
    content = json.dumps(message.body()).encode()
    for tries in range(1, _TRIES + 1):
        try:
            request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):
                return
        except (OSError, ValueError, http.client.HTTPException) as error:
            if tries == _TRIES:
                raise RemoteError(f"parameter 'notify': POST to {_host(url)} failed: {_reason(error)}") from None
        time.sleep(_PAUSE_SECONDS)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "its host"
    except ValueError:
        return "its host"


def _reason(error: Exception) -> str:
    """The reason of a failure. The texts of errors and redirections may contain the URL, and are left out."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__
