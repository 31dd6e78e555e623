"""Connections of the HTTP server, bounded in time and number.

uvicorn limits the time between two requests, but not the time of a request. A client that never completes one would
keep its connection.
"""

from __future__ import annotations

import asyncio
import resource
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ncf.api import limits

_OTHER_FILES = 128
"""Open files of the process that are no connections."""
_GRACE_SECONDS = 5.0
"""Time after ``BODY_SECONDS``, in which the application itself refuses a body; time for a body after SIGTERM."""

_READ_BYTES = 1 << 13
"""Bytes that are read from a connection before the others have their turn. With the shortest chunks, h11 takes 1 µs for
each byte, so the 256 KiB that asyncio reads at once would delay all others for a quarter of a second."""


def most_connections() -> int:
    """Number of connections that may be open: ``MAX_CONNECTIONS``, or fewer if the process may open fewer files.

    The soft limit on open files is raised up to the hard limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.MAX_CONNECTIONS + _OTHER_FILES
    if 0 <= soft < wanted:
        soft = min(wanted, hard) if hard >= 0 else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return limits.MAX_CONNECTIONS if soft < 0 else min(limits.MAX_CONNECTIONS, max(soft - _OTHER_FILES, soft // 2))


class Connection(H11Protocol):
    """Connection that is closed if a request does not arrive in time.

    If there are too many connections, a new one takes the place of the one that has waited longest for a request.
    """

    _deadline: asyncio.TimerHandle | None = None
    """End of the time for a request to arrive; None while there is a whole request to answer."""
    _has_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._make_room()
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]
        super().connection_made(transport)
        self._expect_by(limits.HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # uvicorn cannot refuse a malformed body behind the start of the answer
            self.transport.abort()
        self._update()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update()

    def shutdown(self) -> None:
        super().shutdown()
        if self._deadline is not None:
            self._expect_by(_GRACE_SECONDS)

    def _make_room(self) -> None:
        others = cast("set[Connection]", self.connections)
        if self.limit_concurrency is None or len(others) < self.limit_concurrency - 1:
            return
        waiting = [(other._has_head, other._deadline.when(), id(other), other) for other in others if other._deadline]
        if waiting:
            *_, oldest = min(waiting)
            others.discard(oldest)
            oldest.transport.abort()

    def _update(self) -> None:
        """Set the time for the next part of a request."""
        state, had_head = self.conn.their_state, self._has_head
        self._has_head = state is h11.SEND_BODY
        if state not in (h11.IDLE, h11.SEND_BODY):
            self._expect_nothing()
        elif self._deadline is None or self._has_head != had_head:
            self._expect_by(limits.BODY_SECONDS + _GRACE_SECONDS if self._has_head else limits.HEAD_SECONDS)

    def _expect_by(self, seconds: float) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._close)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        """Close the connection, after the client has had time to read the last answer."""
        self._deadline = self.loop.call_later(limits.SEND_SECONDS, self.transport.abort)
        self.transport.close()
