"""The queue of events, and its dead-letter queue.

Both are FIFO queues. EventBridge gives each message the name of its rule as message group, and SQS hands out no message
of a group while another one is in flight: two watchers never work on the same rule. What has to wait stays in flight,
and keeps the others of its rule waiting, too.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagegroupid-property.html
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from ncf.aws.session import Aws

CALLS = ("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage")
"""AWS calls of this module, from which the IAM permissions are generated."""

LEASE_SECONDS = 600
"""Seconds for which a received message is hidden from other watchers."""
LONGEST_HOLD_SECONDS = 11 * 3600
"""SQS hides a message for at most 12 h after it was received."""
REASON = "Reason"
"""Attribute of a message in the dead-letter queue."""
_BATCH = 10
_WAIT_SECONDS = 10
_PATIENCE_SECONDS = 60.0
_MAX_REASON_LENGTH = 2000


@dataclass(frozen=True)
class Message:
    """A received message.

    Attributes:
        id: of SQS.
        handle: by which it is deleted or hidden, in its lease.
        rule: name of its rule.
        body: the event in JSON.
        receives: how often it was received.
        received: time of the receipt, by :func:`time.monotonic`.
    """

    id: str
    handle: str
    rule: str
    body: str
    receives: int
    received: float


class Queue:
    """The queue of a watcher.

    Args:
        aws: clients to call.
        url: URL of the queue.
        dead_letters: URL of the dead-letter queue.
    """

    def __init__(self, aws: Aws, url: str, dead_letters: str) -> None:
        self._aws, self._url, self._dead_letters = aws, url, dead_letters

    def receive(self) -> list[Message]:
        """Up to ten messages; none if none arrives within 10 s.

        Raises:
            RemoteError: if AWS cannot be reached, or refuses.
        """
        received = time.monotonic()  # the lease begins later
        answer = self._aws.call(
            "sqs",
            "receive_message",
            patience=0.0,  # the watcher polls again, unless it is to end
            QueueUrl=self._url,
            MaxNumberOfMessages=_BATCH,
            WaitTimeSeconds=_WAIT_SECONDS,
            VisibilityTimeout=LEASE_SECONDS + _WAIT_SECONDS,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
        )
        return [
            Message(
                id=message["MessageId"],
                handle=message["ReceiptHandle"],
                rule=message["Attributes"].get("MessageGroupId", ""),
                body=message["Body"],
                receives=int(message["Attributes"]["ApproximateReceiveCount"]),
                received=received,
            )
            for message in answer.get("Messages", [])
        ]

    def delete(self, message: Message) -> None:
        """Delete a message.

        Raises:
            RemoteError: if AWS cannot be reached, or refuses, as after the end of the lease.
        """
        self._aws.call(
            "sqs", "delete_message", patience=_PATIENCE_SECONDS, QueueUrl=self._url, ReceiptHandle=message.handle
        )

    def hold(self, message: Message, seconds: float) -> None:
        """Hide a message for a time from now on, up to 11 h; 0 returns it.

        Raises:
            RemoteError: if AWS cannot be reached, or refuses, as after the end of the lease.
        """
        self._aws.call(
            "sqs",
            "change_message_visibility",
            patience=_PATIENCE_SECONDS,
            QueueUrl=self._url,
            ReceiptHandle=message.handle,
            VisibilityTimeout=min(LONGEST_HOLD_SECONDS, max(0, round(seconds))),
        )

    def bury(self, message: Message, reason: str) -> None:
        """Move a message to the dead-letter queue, with the reason. It is there before it is deleted here.

        Raises:
            RemoteError: if AWS cannot be reached, or refuses.
        """
        self._aws.call(
            "sqs",
            "send_message",
            patience=_PATIENCE_SECONDS,
            QueueUrl=self._dead_letters,
            MessageBody=message.body,
            MessageGroupId=message.rule or "none",
            MessageDeduplicationId=hashlib.sha256(message.id.encode()).hexdigest(),
            MessageAttributes={REASON: {"DataType": "String", "StringValue": reason[:_MAX_REASON_LENGTH]}},
        )
        self.delete(message)
