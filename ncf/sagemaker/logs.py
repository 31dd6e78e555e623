"""The log of a job or endpoint, read from CloudWatch as it grows."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from ncf.sagemaker.session import Aws, RefusedError

TRAINING_GROUP = "/aws/sagemaker/TrainingJobs"
ENDPOINT_GROUP = "/aws/sagemaker/Endpoints"
_TAIL_LINES = 20


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
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def read(self, write: Callable[[str], None] | None = None) -> int:
        """Read what is new.

        Args:
            write: is given each line.

        Returns:
            How many lines there were. Where logs may not be read, or do not exist yet, there are none.
        """
        if self._denied:
            return 0
        try:
            return sum(self._read_stream(stream, write) for stream in self._streams())
        except RefusedError as error:
            if error.says_missing:
                return 0
            if "AccessDenied" not in error.code:
                raise
            self._denied = True
            logging.getLogger(__name__).warning("log lines are not shown: %s", error)
            return 0

    def _streams(self) -> list[str]:
        """Names of the streams. A host has a new one after each interruption of a spot job."""
        request: dict[str, Any] = {"logGroupName": self._group, "logStreamNamePrefix": self._prefix}
        while True:
            answer = self._aws.call("logs", "describe_log_streams", **request)
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
            request = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
            answer = self._aws.call("logs", "get_log_events", **request, **({"nextToken": token} if token else {}))
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
