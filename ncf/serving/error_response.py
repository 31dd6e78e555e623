"""Error responses: ``{"error": "..."}`` with the status."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from ncf.api.limits import RETRY_AFTER_SECONDS

_HEADERS = {408: {"connection": "close"}, 503: {"retry-after": str(RETRY_AFTER_SECONDS)}}


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response for an HTTP status of 4xx or 5xx."""
    return JSONResponse({"error": message}, status, {**(headers or {}), **_HEADERS.get(status, {})})
