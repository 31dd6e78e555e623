"""The body of a request, as it comes."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Receive

from ncf.api.formats import JSON
from ncf.api.requests import MAX_BODY_BYTES, RequestError
from ncf.serving.protocol import ClientLeftError

BODY_SECONDS = 60.0
"""SageMaker itself waits no longer for a request."""


class Body:
    """Reads the body of a request, never more than ``MAX_BODY_BYTES`` of it into memory.

    Args:
        headers: of the request.
        receive: of the request, as ASGI has it.
    """

    def __init__(self, headers: Headers, receive: Receive) -> None:
        self._headers, self._receive = headers, receive
        # who asks first whether to send a body sends none if refused
        self._is_coming = headers.get("expect", "").lower() != "100-continue"

    async def read(self) -> bytes:
        """All of it.

        Raises:
            RequestError: 413 if it is larger, 408 if it does not come, 415 if it is packed.
            ClientLeftError: if the client leaves before its end.
        """
        packed = ", ".join(self._headers.getlist("content-encoding")).strip().lower()
        if packed not in ("", "identity"):
            raise RequestError(415, f"content encoding is {packed[:60]!r}; expected none")
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            raise self._too_large()
        body = bytearray()
        self._is_coming = True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while self._is_coming:
                    body += await self._chunk()
                    if len(body) > MAX_BODY_BYTES:
                        raise self._too_large()
        except TimeoutError:
            self._is_coming = False
            raise RequestError(408, f"body is not complete after {BODY_SECONDS:g} seconds") from None
        return bytes(body)

    async def discard(self) -> None:
        """Take what still comes of it.

        To close a connection on which bytes wait unread resets it, and the client may lose the answer (RFC 9112, 9.6).

        Raises:
            ClientLeftError: if the client leaves before its end, or it does not end in time.
        """
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while self._is_coming:
                    await self._chunk()
        except TimeoutError:
            raise ClientLeftError from None

    async def _chunk(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._is_coming = False
            raise ClientLeftError
        self._is_coming = message.get("more_body", False)
        return bytes(message.get("body", b""))

    def _too_large(self) -> RequestError:
        """A body of lines can be divided; of one request in JSON only its lists can."""
        one = self._headers.get("content-type", JSON).partition(";")[0].strip().lower() == JSON
        advice = "send fewer or shorter ids" if one else "send its lines in several requests"
        return RequestError(413, f"body has more than {MAX_BODY_BYTES} bytes; expected no more; {advice}")
