"""The log of a training job or an endpoint, read from CloudWatch while it grows."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from ncf.aws.errors import RefusedError
from ncf.aws.session import Aws
from ncf.errors import RemoteError

ENDPOINT_GROUP = "/aws/sagemaker/Endpoints"
_TAIL_LINES = 20
_MAX_STREAMS, _MAX_PAGES = 5, 3
_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_CALLS = 0.06  # an account's quota is 25 calls a second for all of its jobs
_SECONDS_BETWEEN_STREAM_LISTINGS = 15.0

CALLS = ("logs:DescribeLogStreams", "logs:GetLogEvents")
"""AWS calls of this module, from which the IAM permissions are generated."""


_NOT_SHOWN = "log lines are not shown: %s"


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
            _log.warning(_NOT_SHOWN, error)
            return 0

    def excerpt(self, source: str) -> str:
        """The last lines under a heading, for an error message; '' without lines.

        Args:
            source: of the log, such as ``the job``.
        """
        return excerpt(source, self.tail)

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


def excerpt(source: str, lines: Iterable[str]) -> str:
    """Log lines under a heading, for an error message; '' without lines.

    Args:
        source: of the log, such as ``the job``.
        lines: the last ones of the log.
    """
    shown = "".join(f"  | {line}\n" for line in lines)
    return f"{source}'s last log lines:\n{shown}" if shown else ""


def last_lines(aws: Aws, group: str, prefix: str, since: datetime) -> list[str]:
    """The last lines of the newest streams of a group, 20 at most, in the order of the streams' creation.

    The number of calls is bounded, whatever the group holds.

    Args:
        aws: clients to call.
        group: log group.
        prefix: of the streams' names.
        since: time of the first line.

    Returns:
        The lines; none without permission to read logs, before the log exists, or if CloudWatch does not answer.
    """
    start = int(since.timestamp() * 1000)
    blocks: list[list[str]] = []
    try:
        for stream in _newest_streams(aws, group, prefix, start):
            missing = _TAIL_LINES - sum(map(len, blocks))
            if missing <= 0:
                break
            blocks.append(_last_of_stream(aws, group, stream, start, missing))
    except RemoteError as error:
        if not (isinstance(error, RefusedError) and error.says_missing):
            _log.warning(_NOT_SHOWN, error)
    return [line for block in reversed(blocks) for line in block]


def _newest_streams(aws: Aws, group: str, prefix: str, start: int) -> list[str]:
    """Names of streams with lines since a time, in ms since 1970; the newest first."""
    request: dict[str, Any] = {"logGroupName": group, "orderBy": "LastEventTime", "descending": True}
    found: dict[str, int] = {}
    for number, page in enumerate(aws.pages("logs", "describe_log_streams", **request), 1):
        for stream in page["logStreams"]:
            # the time of the last line may be hours late, that of the creation is not
            times = [stream.get(key, 0) for key in ("creationTime", "lastEventTimestamp", "lastIngestionTime")]
            if stream["logStreamName"].startswith(prefix) and max(times) >= start:
                found[stream["logStreamName"]] = times[0]
        if number == _MAX_PAGES:
            break
    return sorted(found, key=lambda name: found[name], reverse=True)[:_MAX_STREAMS]


def _last_of_stream(aws: Aws, group: str, stream: str, start: int, count: int) -> list[str]:
    """The last lines of a stream, in their order. CloudWatch may return empty pages before them."""
    lines: list[str] = []
    for events in _pages_backwards(aws, group, stream, start, count):
        lines = [event["message"].rstrip("\n") for event in events] + lines
        if len(lines) >= count:
            break
    return lines[-count:]


def _pages_backwards(aws: Aws, group: str, stream: str, start: int, count: int) -> Iterator[list[dict[str, Any]]]:
    request: dict[str, Any] = {"logGroupName": group, "logStreamName": stream, "startTime": start, "limit": count}
    for _ in range(_MAX_PAGES):
        page = aws.call("logs", "get_log_events", **request, startFromHead=False)
        yield page["events"]
        if page["nextBackwardToken"] == request.get("nextToken"):  # the same token again: the start of the stream
            return
        request["nextToken"] = page["nextBackwardToken"]
