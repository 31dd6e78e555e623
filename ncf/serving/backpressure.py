"""Backpressure: limits on concurrent work, so that memory stays bounded under any load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from ncf.api import limits
from ncf.cores import available_cores

_Result = TypeVar("_Result")
Check = Callable[[], None]
"""Raises ``ClientDisconnect`` if the client has disconnected."""


class UnavailableError(Exception):
    """A request that the server cannot take now: 503 with ``Retry-After``."""

    status = 503


class Backpressure:
    """Admission of requests and of the work for them.

    All counters belong to the event loop. Requests for one list of items and requests for many have threads of their
    own, one of each for each core, so that a short request never waits for long ones.

    Args:
        max_requests: requests in flight.
    """

    def __init__(self, max_requests: int = limits.MAX_REQUESTS) -> None:
        self._max_requests = max_requests
        self.requests = 0
        self.unread_bytes = 0
        cores = available_cores()
        self._one_list, self._many_lists = CapacityLimiter(cores), CapacityLimiter(cores)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request in flight.

        Raises:
            UnavailableError: if there are too many requests, or too many bytes that clients have not read.
        """
        if self.requests >= self._max_requests:
            raise UnavailableError(f"{self.requests} requests are in flight, the limit; try again")
        self._check_unread()
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def unread(self, size: int) -> Iterator[None]:
        """Count the bytes of an answer until the client has read it."""
        self.unread_bytes += size
        try:
            yield
        finally:
            self.unread_bytes -= size

    def run(self, work: Callable[[Check], _Result]) -> _Result:
        """Run quick work in the event loop.

        Raises:
            UnavailableError: if clients leave too much unread.
        """
        self._check_unread()
        return work(lambda: None)

    async def run_in_thread(self, work: Callable[[Check], _Result], receive: Receive, many_lists: bool) -> _Result:
        """Run work in a worker thread, unless the client disconnects while it waits for one.

        Args:
            work: receives a check, to be called from time to time.
            receive: messages of the request, of which only the disconnection is left.
            many_lists: whether the answer has more than one list of items.

        Raises:
            UnavailableError: if clients leave too much unread when a thread is free.
            ClientDisconnect: if the client disconnects.
        """
        disconnected = threading.Event()

        def check() -> None:
            if disconnected.is_set():
                raise ClientDisconnect

        def checked() -> _Result:
            self._check_unread()
            return work(check)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            disconnected.set()
            scope.cancel()

        limiter = self._many_lists if many_lists else self._one_list
        with CancelScope() as scope:
            watcher = asyncio.create_task(watch())
            try:
                return await to_thread.run_sync(checked, limiter=limiter)
            finally:
                disconnected.set()
                watcher.cancel()
        raise ClientDisconnect

    def _check_unread(self) -> None:
        if self.unread_bytes >= limits.MAX_UNREAD_BYTES:
            raise UnavailableError(f"clients have not read {self.unread_bytes} bytes of answers; try again")
