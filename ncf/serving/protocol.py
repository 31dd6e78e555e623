"""A connection of uvicorn whose application learns what becomes of its answers."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

SEND_SECONDS = 60.0
"""In which a client has to take what is sent to it at once. SageMaker itself waits no longer for a request."""
_RESET = struct.pack("ii", 1, 0)  # linger, for 0 seconds


class ClientLeftError(OSError):
    """The client has left, or is left: there is nobody to answer, and the connection is closed."""


class Connection(H11Protocol):
    """What is sent on it waits in the kernel alone, not in the process, and a client that takes nothing is left.

    ``send`` returns when the kernel has taken all, and raises ``ClientLeftError``, an OSError as ASGI has it from
    specification 2.4 on, if the client leaves. An application that raises it ends the connection, in whatever state.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._application = self.app
        self.app = self._run
        self._leaving: asyncio.TimerHandle | None = None
        self._has_left = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.set_write_buffer_limits(0)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._leaving = self.loop.call_later(SEND_SECONDS, self._leave)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stay()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_left = self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete)
        self._stay()
        super().connection_lost(exc)

    def _leave(self) -> None:
        """Reset the connection, so that the kernel keeps nothing of it either."""
        if (connected := self.transport.get_extra_info("socket")) is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_all(message: Message) -> None:
            await send(message)
            if self.flow.write_paused:
                await self.flow.drain()
            if self._has_left:
                raise ClientLeftError

        try:
            await self._application(scope, receive, send_all)
        except ClientLeftError:
            self._leave()
            await asyncio.sleep(0)  # so that uvicorn knows of it, and misses no answer
