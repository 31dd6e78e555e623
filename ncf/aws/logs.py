"""The log of a training job or an endpoint, read from CloudWatch while it grows."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws

TRAINING_GROUP = "/aws/sagemaker/TrainingJobs"
ENDPOINT_GROUP = "/aws/sagemaker/Endpoints"
_TAIL_LINES = 20
_SECONDS_BETWEEN_CALLS = 0.06  # an account's quota is 25 calls a second for all of its jobs
_SECONDS_BETWEEN_STREAM_LISTINGS = 15.0

CALLS = ("logs:DescribeLogStreams", "logs:GetLogEvents")
"""AWS calls of this module, from which the IAM permissions are generated."""


class LogReader:
    """Reader of all log streams with a common prefix. Each line is read once, in the order of its stream.

    Attributes:
        tail: the last lines.
    """

    def __init__(self, aws: Aws, group: str, prefix: str, hosts: int = 1) -> None:
        """
        Args:
            aws: clients to call.
            group: log group.
            prefix: of the streams' names.
            hosts: number of hosts; with several, each line begins with its host.
        """
        self._aws, self._group, self._prefix, self._hosts = aws, group, prefix, hosts
        self._tokens: dict[str, str] = {}
        self._is_denied = False
        self._listed_at = self._called_at = float("-inf")
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def read(self, write: Callable[[str], None] | None = None, list_streams: bool = False) -> int:
        """Read the new lines.

        Args:
            write: is called with each line.
            list_streams: whether to list the streams now; by default they are listed every 15 s.

        Returns:
            Number of lines; 0 without permission to read logs, or before the log exists.
        """
        if self._is_denied:
            return 0
        try:
            return sum(self._read_stream(stream, write) for stream in self._streams(list_streams))
        except RefusedError as error:
            if error.says_missing:
                return 0
            if "AccessDenied" not in error.code:
                raise
            self._is_denied = True
            logging.getLogger(__name__).warning("log lines are not shown: %s", error)
            return 0

    def excerpt(self, source: str) -> str:
        """The last lines under a heading, for an error message; '' without lines.

        Args:
            source: of the log, such as ``the job``.
        """
        return "".join([f"{source}'s last log lines:\n", *(f"  | {line}\n" for line in self.tail)]) if self.tail else ""

    def _pause(self) -> None:
        """Keep the account's quota of calls, which many hosts could exceed."""
        time.sleep(max(0.0, self._called_at + _SECONDS_BETWEEN_CALLS - time.monotonic()))
        self._called_at = time.monotonic()

    def _streams(self, list_now: bool) -> list[str]:
        """Names of the streams. After each interruption of a spot job its hosts write to new ones."""
        is_due = time.monotonic() > self._listed_at + _SECONDS_BETWEEN_STREAM_LISTINGS
        if list_now or is_due or len(self._tokens) < self._hosts:
            self._listed_at = time.monotonic()
            names: dict[str, Any] = {"logGroupName": self._group, "logStreamNamePrefix": self._prefix}
            self._pause()
            for page in self._aws.pages("logs", "describe_log_streams", **names):
                for stream in page["logStreams"]:
                    self._tokens.setdefault(stream["logStreamName"], "")
                self._pause()
        return sorted(self._tokens)

    def _read_stream(self, stream: str, write: Callable[[str], None] | None) -> int:
        host = stream.removeprefix(self._prefix).rpartition("-")[0]
        count = 0
        while True:
            token = self._tokens[stream]
            request: dict[str, Any] = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
            if token:
                request["nextToken"] = token
            self._pause()
            page = self._aws.call("logs", "get_log_events", **request)
            for event in page["events"]:
                line = event["message"].rstrip("\n")
                line = f"{host} | {line}" if self._hosts > 1 else line
                self.tail.append(line)
                if write:
                    write(line)
            count += len(page["events"])
            self._tokens[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token:  # the same token again: the end of the stream
                return count
