"""How much the server takes on at once, so that its memory is bounded whatever comes."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from starlette.requests import ClientDisconnect, Request

from ncf.serving.invocation import MAX_BODY_BYTES, RequestError

MAX_REQUESTS = 64
"""Requests that are read, wait or are answered at once; what comes beyond is told to come again."""
MAX_UNREAD_BYTES = 64 << 20
"""Bytes of answers that clients have not read yet, from which on nothing new is taken on."""
RETRY_AFTER_SECONDS = 1
BODY_SECONDS = 60.0
SEND_SECONDS = 60.0
"""SageMaker itself waits no longer for a request."""


class BusyError(Exception):
    """The server has as much to do as it takes on: 503 with Retry-After."""


class Load:
    """Counts what is under way. Only the event loop touches it.

    Args:
        max_requests: taken on at once.
    """

    def __init__(self, max_requests: int = MAX_REQUESTS) -> None:
        self._max_requests = max_requests
        self.requests = 0
        self.unread_bytes = 0
        self.pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "score")
        """Scores what takes long, so that /ping answers meanwhile; each thread uses one core."""

    def __enter__(self) -> Load:
        if self.requests >= self._max_requests:
            raise BusyError(f"{self.requests} requests are under way, the limit; try again")
        if self.unread_bytes >= MAX_UNREAD_BYTES:
            raise BusyError(f"{self.unread_bytes} bytes of answers are not read yet, beyond the limit; try again")
        self.requests += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.requests -= 1


async def read_body(request: Request) -> bytes:
    """The body of a request, never more than ``MAX_BODY_BYTES`` of it in memory.

    Raises:
        RequestError: 413 if it is larger, 408 if it does not come, 400 if the client leaves, 415 if it is packed.
    """
    if encoding := request.headers.get("content-encoding", "").strip().lower().replace("identity", ""):
        raise RequestError(415, f"content encoding is {encoding[:60]!r}; expected none")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise RequestError(413, f"body has more than {MAX_BODY_BYTES} bytes, the limit; send fewer users")
    except ClientDisconnect:
        raise RequestError(400, "the client left before its request was complete") from None
    except TimeoutError:
        raise RequestError(408, f"body is not complete after {BODY_SECONDS:g} seconds") from None
    return bytes(body)
