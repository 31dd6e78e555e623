"""Events of services on EventBridge's default bus, and queues as EventBridge needs them: what moto lacks.

moto sends S3's events to the rules, and what clients put. SageMaker's and CloudWatch's events are sent here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

_REFUSED = {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source."}
"""Answer to an event whose source begins with ``aws.``."""


class EventBus:
    """The default bus of a region. moto is patched until :meth:`close`.

    Args:
        region: region of the events.
        account: ID of the account.
    """

    def __init__(self, region: str, account: str) -> None:
        self._region, self._account = region, account
        self._patches = ExitStack()
        self._patch_alarms()
        self._patch_queues()
        self._patch_sources()

    def close(self) -> None:
        """Leave moto as it was."""
        self._patches.close()

    def send(self, source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]) -> None:
        """Send an event to the targets of all rules that it matches."""
        from moto.events.models import events_backends

        event: Any = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": self._account,
            "time": time.time(),
            "region": self._region,
            "resources": list(resources),
            "detail": dict(detail),
        }
        for rule in list(events_backends[self._account][self._region].event_buses["default"].rules.values()):
            if rule.state == "ENABLED":
                rule.send_to_targets(event, transform_input=False)

    def _patch_alarms(self) -> None:
        """Send an event for each change of an alarm's state.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
        """
        from moto.cloudwatch.models import Alarm

        original, bus = Alarm.update_state, self

        def update_state(alarm: Any, reason: str, reason_data: str, state_value: str) -> None:
            before = {"value": alarm.state_value, "reason": alarm.state_reason}
            original(alarm, reason, reason_data, state_value)
            if before["value"] == state_value:
                return
            now = datetime.now(UTC)
            state = {"value": state_value, "reason": reason, "timestamp": f"{now:%Y-%m-%dT%H:%M:%S.000+0000}"}
            detail = {"alarmName": alarm.name, "state": state, "previousState": before}
            bus.send("aws.cloudwatch", "CloudWatch Alarm State Change", [alarm.alarm_arn], detail)

        self._patches.enter_context(patch.object(Alarm, "update_state", update_state))

    def _patch_queues(self) -> None:
        """Deduplicate messages within their group, where a queue is set so. moto does so in the whole queue."""
        from moto.sqs.models import Queue

        original = Queue.add_message

        def add_message(queue: Any, message: Any) -> None:
            if queue.attributes.get("DeduplicationScope") == "messageGroup" and message.deduplication_id:
                message.deduplication_id = f"{message.group_id}/{message.deduplication_id}"
            original(queue, message)

        self._patches.enter_context(patch.object(Queue, "add_message", add_message))

    def _patch_sources(self) -> None:
        """Refuse events of clients in the name of AWS.

        https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
        """
        from moto.events.models import EventsBackend

        original = EventsBackend.put_events

        def put_events(backend: Any, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
            allowed = [event for event in events if not str(event.get("Source", "")).startswith("aws.")]
            answers = iter(original(backend, allowed))
            return [next(answers) if event in allowed else dict(_REFUSED) for event in events]

        self._patches.enter_context(patch.object(EventsBackend, "put_events", put_events))
