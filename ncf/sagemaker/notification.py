"""Telling people how a run ended: an SNS topic, a webhook."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ncf.errors import RemoteError
from ncf.sagemaker.session import Aws

CALLS = ("sns:Publish",)
"""What this module calls: permissions are made from it."""

_SUBJECT_CHARACTERS = 100
_TRIES, _SECONDS_BETWEEN, _SECONDS_TO_ANSWER = 3, 2.0, 10.0


@dataclass(frozen=True)
class Message:
    """How a run ended: KFP's ``state`` and ``reason``, and the training jobs that were ``stopped``."""

    run: str
    state: str
    reason: str
    stopped: Sequence[str]

    @property
    def title(self) -> str:
        return f"NCF run {self.run}: {self.state}"

    @property
    def text(self) -> str:
        """All of it on one line."""
        parts = [self.title, self.reason, f"stopped: {', '.join(self.stopped)}" if self.stopped else ""]
        return "; ".join(part for part in parts if part)

    def markdown(self, aws: Aws) -> str:
        lines = [f"# {self.title}", "", *([self.reason, ""] if self.reason else [])]
        lines += [f"- stopped [{name}]({aws.console_url(f'jobs/{name}')})" for name in self.stopped]
        return "\n".join([*lines, "" if self.stopped else "Nothing was left running.", ""])


def send(aws: Aws, whom: str, message: Message) -> None:
    """Tell an SNS topic by its ARN, or whoever listens at a URL.

    Raises:
        RemoteError: if the message is not taken.
    """
    if whom.startswith("arn:"):
        _publish(aws, whom, message)
    else:
        _post(whom, message)


def _publish(aws: Aws, topic: str, message: Message) -> None:
    aws.call("sns", "publish", TopicArn=topic, Subject=message.title[:_SUBJECT_CHARACTERS], Message=message.text)


def _post(url: str, message: Message) -> None:
    """POST ``{"text", "run", "state", "reason", "stopped"}``: chat services show the text.

    The URL, which may hold a secret, is in no message.
    """
    body = {"run": message.run, "state": message.state, "reason": message.reason, "stopped": list(message.stopped)}
    content = json.dumps({"text": message.text, **body}).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    for tries in range(1, _TRIES + 1):
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER):
                return
        except (OSError, urllib.error.HTTPError) as error:
            if tries == _TRIES:
                host = urlsplit(url).hostname
                raise RemoteError(f"parameter 'notify': {host} did not take the message: {error}") from None
        time.sleep(_SECONDS_BETWEEN)
