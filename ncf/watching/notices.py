"""Notices to people: of messages that start no run."""

from __future__ import annotations

from dataclasses import dataclass

from ncf.aws.settings import AwsAccess
from ncf.sagemaker.runs.notification import notify
from ncf.watching.watcher import Tell


@dataclass(frozen=True)
class TriggerNotice:
    """A message with a title and a text."""

    title: str
    content: str

    @property
    def text(self) -> str:
        """The message on one line."""
        return f"{self.title}: {self.content}"

    def body(self) -> dict[str, str]:
        """The message as the JSON body of a POST request. Chat services show ``text``."""
        return {"text": self.text, "state": "failed", "reason": self.content}


def teller(access: AwsAccess, recipient: str) -> Tell:
    """A function that tells a recipient; with none, it does nothing.

    Args:
        access: to call SNS with.
        recipient: ARN of an SNS topic, or a URL; '' for none.
    """

    def tell(title: str, text: str) -> None:
        if recipient:
            notify(access, recipient, TriggerNotice(title, text))

    return tell
