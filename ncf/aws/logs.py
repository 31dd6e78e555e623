"""The log of a job or endpoint, read from CloudWatch as it grows."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ncf.aws.session import Aws, RefusedError

TRAINING_GROUP = "/aws/sagemaker/TrainingJobs"
ENDPOINT_GROUP = "/aws/sagemaker/Endpoints"
_TAIL_LINES = 20
_SECONDS_BETWEEN_CALLS = 0.06  # an account has 25 a second of each, for all its jobs
_SECONDS_BETWEEN_STREAMS = 15.0

CALLS = ("logs:DescribeLogStreams", "logs:GetLogEvents")
"""What this module calls: permissions are made from it."""


class LogReader:
    """Follows all streams of a log group under one prefix: each line once, in each stream's order.

    Attributes:
        tail: the last lines that were read.
    """

    def __init__(self, aws: Aws, group: str, prefix: str, hosts: int = 1) -> None:
        """``hosts`` above 1 puts each line's host before it."""
        self._aws, self._group, self._prefix, self._hosts = aws, group, prefix, hosts
        self._tokens: dict[str, str] = {}
        self._denied = False
        self._streams_known_at = self._called_at = float("-inf")
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def read(self, write: Callable[[str], None] | None = None, every_stream: bool = False) -> int:
        """Read what is new.

        Args:
            write: is given each line.
            every_stream: look for new streams in any case, not only now and then.

        Returns:
            How many lines there were. Where logs may not be read, or do not exist yet, there are none.
        """
        if self._denied:
            return 0
        try:
            return sum(self._read_stream(stream, write) for stream in self._streams(every_stream))
        except RefusedError as error:
            if error.says_missing:
                return 0
            if "AccessDenied" not in error.code:
                raise
            self._denied = True
            logging.getLogger(__name__).warning("log lines are not shown: %s", error)
            return 0

    def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        """A call, some time after the last one: many hosts must not use up what the account may call."""
        time.sleep(max(0.0, self._called_at + _SECONDS_BETWEEN_CALLS - time.monotonic()))
        self._called_at = time.monotonic()
        return self._aws.call("logs", operation, **request)

    def _streams(self, every_stream: bool) -> list[str]:
        """Names of the streams. A host has a new one after each interruption of a spot job."""
        is_due = time.monotonic() > self._streams_known_at + _SECONDS_BETWEEN_STREAMS
        if not (every_stream or is_due or len(self._tokens) < self._hosts):
            return sorted(self._tokens)
        self._streams_known_at = time.monotonic()
        request: dict[str, Any] = {"logGroupName": self._group, "logStreamNamePrefix": self._prefix}
        while True:
            answer = self._call("describe_log_streams", **request)
            for stream in answer["logStreams"]:
                self._tokens.setdefault(stream["logStreamName"], "")
            if not answer.get("nextToken"):
                return sorted(self._tokens)
            request["nextToken"] = answer["nextToken"]

    def _read_stream(self, stream: str, write: Callable[[str], None] | None) -> int:
        host = stream.removeprefix(self._prefix).rpartition("-")[0]
        count = 0
        while True:
            token = self._tokens[stream]
            place = {"logGroupName": self._group, "logStreamName": stream}
            more = {"nextToken": token} if token else {}
            answer = self._call("get_log_events", **place, startFromHead=True, **more)
            for event in answer["events"]:
                line = event["message"].rstrip("\n")
                line = f"{host} | {line}" if self._hosts > 1 else line
                self.tail.append(line)
                if write:
                    write(line)
            count += len(answer["events"])
            self._tokens[stream] = answer["nextForwardToken"]
            if answer["nextForwardToken"] == token:  # the API's sign for the end of what there is
                return count
