"""Telling people how a run ended: an SNS topic, a webhook."""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ncf.aws.session import Aws
from ncf.errors import InputError, RemoteError
from ncf.reports.markdown import escape, link
from ncf.sagemaker.runs.outcome import Endpoint, Evidence, Job, Verdict, endpoint_text, job_text
from ncf.sagemaker.settings import AwsAccess, check_notify

_log = logging.getLogger(__name__)

CALLS = ("sns:Publish",)
"""What this module calls: permissions are made from it."""

_SUBJECT_CHARACTERS = 100
_LINE = 2000
"""Characters of a line of the summary."""
_TRIES, _SECONDS_BETWEEN, _SECONDS_TO_ANSWER = 3, 2.0, 10.0


@dataclass(frozen=True)
class Message:
    """How a run ended, and what there is of it."""

    evidence: Evidence
    verdict: Verdict

    @property
    def title(self) -> str:
        return f"NCF run {self.evidence.run}: {self.verdict.title}"

    @property
    def text(self) -> str:
        """All of it on one line: each job and endpoint with its state, and links to them."""
        things = self._things()
        more = [text for _, text, _ in things if text not in self.verdict.reason]
        return "; ".join([self.title, self.verdict.reason, *more, *(url for _, _, url in things)])

    def body(self) -> dict[str, Any]:
        """What is POSTed; chat services show ``text``."""
        evidence = self.evidence
        return {
            "text": self.text,
            "run": evidence.run,
            "state": self.verdict.outcome,
            "reason": self.verdict.reason,
            "stopped": [job.name for job in evidence.jobs if job.is_stopped],
            "jobs": [_brief(job) for job in evidence.jobs],
            "endpoints": [_brief(endpoint) for endpoint in evidence.endpoints],
        }

    def markdown(self, undelivered: str) -> str:
        """The same in Markdown.

        Args:
            undelivered: why nobody was told; '' if they were, or nobody was to be.
        """
        shown = [(escape(name), escape(text, _LINE), link(name, url)) for name, text, url in self._things()]
        lines = [text.replace(name, linked, 1) for name, text, linked in shown]
        told = [f"the run's {what} cannot be seen in full: {why}" for what, why in self.evidence.unseen.items()]
        if undelivered:
            told.append(undelivered)
        if "jobs" not in self.evidence.unseen and not any(job.note for job in self.evidence.jobs):
            told.append("no training job was left in progress")
        told.append(f"the state that KFP tells an exit handler: {self.evidence.told or 'none'}")
        lines += [escape(line, _LINE) for line in told]
        reason = escape(self.verdict.reason, _LINE)
        return "\n".join([f"# {escape(self.title)}", "", reason, "", *(f"- {line}" for line in lines), ""])

    def _things(self) -> list[tuple[str, str, str]]:
        """Name, state in words and URL of each job and endpoint."""
        evidence = self.evidence
        return [
            *((job.name, job_text(job), job.url) for job in evidence.jobs),
            *((entry.name, endpoint_text(entry, evidence.run), entry.url) for entry in evidence.endpoints),
        ]


def _brief(thing: Job | Endpoint) -> dict[str, str]:
    return {"name": thing.name, "status": thing.status, "url": thing.url}


def tell(access: AwsAccess, whom: str, message: Message) -> str:
    """Tell an SNS topic by its ARN, or whoever listens at a URL.

    Args:
        access: as whom to call SNS, which is called in the topic's own region.
        whom: ARN or URL. A URL may hold a secret, and is in no message.
        message: to send.

    Returns:
        Why nobody was told, which is no failure of the run; '' if somebody was.
    """
    try:
        _send(access, whom, message)
    except (InputError, RemoteError) as error:
        undelivered = f"nobody was told: {' '.join(str(error).split())}"
        _log.warning("%s", undelivered)
        return undelivered
    return ""


def _send(access: AwsAccess, whom: str, message: Message) -> None:
    try:
        check_notify(whom)
    except ValueError as error:
        raise InputError(str(error)) from None
    if not whom.startswith("arn:"):
        _post(whom, message)
        return
    region = whom.split(":")[3]
    subject = message.title[:_SUBJECT_CHARACTERS]
    aws = Aws(access.model_copy(update={"region": region}))
    aws.call("sns", "publish", TopicArn=whom, Subject=subject, Message=message.text)


def _post(url: str, message: Message) -> None:
    content = json.dumps(message.body()).encode()
    for tries in range(1, _TRIES + 1):
        try:
            request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER):
                return
        except (OSError, ValueError, http.client.HTTPException) as error:
            if tries == _TRIES:
                said = f"{_host(url)} did not take the message: {_reason(error)}"
                raise RemoteError(f"parameter 'notify': {said}") from None
        time.sleep(_SECONDS_BETWEEN)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "its host"
    except ValueError:
        return "its host"


def _reason(error: Exception) -> str:
    """What went wrong, without what may hold the URL: texts of errors, and where a redirection leads."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__
