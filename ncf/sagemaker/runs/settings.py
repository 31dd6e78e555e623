"""Parameter of the notification at the end of a run."""

from __future__ import annotations

import re

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w.-]+")
_URL = re.compile(r"https?://\S+")


def check_notify(value: str) -> None:
    """Refuse a value of the parameter 'notify' that is neither a topic nor a URL. '' is accepted.

    Raises:
        ValueError: without the value, which may contain a secret.
    """
    if value and not _TOPIC.fullmatch(value) and not _URL.fullmatch(value):
        raise ValueError(
            "parameter 'notify': expected the ARN of an SNS topic, such as arn:aws:sns:us-east-1:123456789012:NAME, or "
            "an https:// URL"
        )
