"""How much the server takes on at once, so that its memory is bounded whatever comes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from ncf.serving.parts import Part

MAX_REQUESTS = 64
"""Requests that are read, wait or are answered at once; what comes beyond is told to come again."""
MAX_UNREAD_BYTES = 64 << 20
"""Bytes of answers that clients have not taken yet, from which on nothing more is made.

It is passed by what is being made at that time only: the part of an answer that ends with one list of items, for each
core and the event loop.
"""
RETRY_AFTER_SECONDS = 1
_Result = TypeVar("_Result")


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
        threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(threads, "score")
        self._makers = asyncio.Semaphore(threads)
        self._room = asyncio.Event()

    def __enter__(self) -> Load:
        if self.requests >= self._max_requests:
            raise BusyError(f"{self.requests} requests are under way, the limit; try again")
        self.check_room()
        self.requests += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.requests -= 1

    async def in_thread(self, work: Callable[[], _Result]) -> _Result:
        """Do what takes long on one core, so that /ping answers meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def part_in_thread(self, make: Callable[[], Part], begun: bool) -> Part:
        """Make a part of an answer, which counts as unread from then on, as soon as there is room.

        Args:
            make: the part, and whether there is more.
            begun: whether some of the answer has been sent, so that it is too late to refuse.

        Raises:
            BusyError: if there is no room and the answer has not begun.
        """
        async with self._makers:
            while not self._has_room():
                if not begun:
                    self.check_room()
                self._room.clear()
                await self._room.wait()
            content, more = await self.in_thread(make)
            self.unread_bytes += len(content)
        return content, more

    def part_at_once(self, make: Callable[[], Part]) -> Part:
        """The same here and now, for what is quick.

        Raises:
            BusyError: if there is no room.
        """
        self.check_room()
        content, more = make()
        self.unread_bytes += len(content)
        return content, more

    def taken(self, size: int) -> None:
        """A part of so many bytes is not held any longer."""
        self.unread_bytes -= size
        self._room.set()

    def dropped(self, making: asyncio.Future[Part]) -> None:
        """Nobody wants what was being made."""
        if not making.cancelled() and making.exception() is None:
            self.taken(len(making.result()[0]))

    def check_room(self) -> None:
        """Refuse if clients leave too much unread.

        Raises:
            BusyError: in that case.
        """
        if not self._has_room():
            raise BusyError(f"{self.unread_bytes} bytes of answers are not read yet, beyond the limit; try again")

    def _has_room(self) -> bool:
        return self.unread_bytes < MAX_UNREAD_BYTES
