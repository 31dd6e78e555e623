"""Refusal of requests with an ambiguous end, of which a proxy may see another one in the body (RFC 9112, 6.1)."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from ncf.serving.error_response import error_response


class Framing:
    """ASGI middleware that refuses a request with two lengths, and closes its connection.

    h11 refuses differing values of Content-Length, and values of Transfer-Encoding other than ``chunked``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (fault := _fault(scope)):
            await error_response(400, fault, {"connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _fault(scope: Scope) -> str:
    names = {name for name, _ in scope["headers"]}
    if b"transfer-encoding" in names and b"content-length" in names:
        return "request has both Content-Length and Transfer-Encoding; expected one of them"
    if b"transfer-encoding" in names and scope["http_version"] != "1.1":
        return f"request of HTTP/{scope['http_version'][:3]} has Transfer-Encoding; expected Content-Length"
    return ""
