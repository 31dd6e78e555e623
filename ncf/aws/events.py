"""Events for EventBridge, from which other parts start runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ncf.aws.session import Aws
from ncf.errors import RemoteError

CALLS = ("events:PutEvents",)
"""AWS calls of this module, from which the IAM permissions are generated."""


def put_event(aws: Aws, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str]) -> str:
    """Send an event to the default event bus.

    Args:
        aws: clients.
        source: of the event.
        detail_type: of the event.
        detail: content, JSON-serialisable.
        resources: ARNs that the event concerns.

    Returns:
        ID of the event.

    Raises:
        RemoteError: if EventBridge does not accept it.
    """
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail, sort_keys=True),
        "Resources": list(resources),
    }
    (result,) = aws.call("events", "put_events", Entries=[entry])["Entries"]
    if code := result.get("ErrorCode"):
        raise RemoteError(f"AWS refused put_events: {code}: {result.get('ErrorMessage', '')}")
    return str(result["EventId"])
