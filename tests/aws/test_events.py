"""Events for EventBridge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.stub import Stubber

from ncf.aws.events import put_event
from ncf.aws.session import Aws
from ncf.errors import RemoteError

ENTRY = {
    "Source": "ncf.monitor",
    "DetailType": "Breach",
    "Detail": json.dumps({"endpoint": "shop", "window": "w"}),
    "Resources": ["arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop"],
}


def put(aws: Aws, answer: dict[str, Any]) -> str:
    with Stubber(aws.client("events")) as stub:
        stub.add_response("put_events", answer, {"Entries": [ENTRY]})
        return put_event(
            aws, ENTRY["Source"], ENTRY["DetailType"], {"window": "w", "endpoint": "shop"}, ENTRY["Resources"]
        )


def test_an_event_is_the_same_whatever_the_order_of_its_detail(aws: Aws) -> None:
    assert put(aws, {"FailedEntryCount": 0, "Entries": [{"EventId": "7"}]}) == "7"


def test_an_event_that_is_not_accepted_is_an_error(aws: Aws) -> None:
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "later"}]}
    with pytest.raises(RemoteError, match="AWS refused put_events: InternalFailure: later"):
        put(aws, answer)
