"""The body of a request, bounded in size and time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request

from ncf.api import limits
from ncf.api.media_types import JSON
from ncf.api.requests import RequestError


class RequestBody:
    """The body of a request, of which at most ``MAX_BODY_BYTES`` are read into memory."""

    def __init__(self, request: Request) -> None:
        self._headers, self._chunks = request.headers, request.stream()
        # with `Expect: 100-continue` a client sends no body if the request is refused first
        self._is_sent = request.headers.get("expect", "").lower() != "100-continue"

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            RequestError: 408 if the body does not arrive in time, 413 if it is too large, 415 if it is compressed.
            ClientDisconnect: if the client disconnects before the end.
        """
        encoding = ", ".join(self._headers.getlist("content-encoding")).strip().lower()
        if encoding not in ("", "identity"):
            raise RequestError(415, f"content encoding is {encoding[:60]!r}; expected none")
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > limits.MAX_BODY_BYTES:
            raise self._too_large()
        body, self._is_sent = bytearray(), True
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                async for chunk in self._chunks:
                    body += chunk
                    if len(body) > limits.MAX_BODY_BYTES:
                        raise self._too_large()
        except TimeoutError:
            raise RequestError(408, f"body is not complete after {limits.BODY_SECONDS:g} seconds") from None
        return bytes(body)

    async def discard(self) -> None:
        """Read the rest and drop it.

        A connection that is closed while bytes wait unread is reset, and the client may lose the answer
        (RFC 9112, 9.6).
        """
        if self._is_sent:
            with suppress(TimeoutError, ClientDisconnect):
                async with asyncio.timeout(limits.BODY_SECONDS):
                    async for _ in self._chunks:
                        pass

    def _too_large(self) -> RequestError:
        is_json = self._headers.get("content-type", JSON).partition(";")[0].strip().lower() == JSON
        advice = "send fewer or shorter ids" if is_json else "send its lines in several requests"
        return RequestError(413, f"body has more than {limits.MAX_BODY_BYTES} bytes, the limit; {advice}")
