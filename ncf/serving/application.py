"""What the HTTP applications share: the middleware, the errors and the metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ncf.serving.error_response import error_response
from ncf.serving.framing import Framing
from ncf.serving.metrics import Metrics

Handler = Callable[[Request, Exception], Awaitable[Response]]


def application(
    routes: Sequence[Route], hint: str = "", handlers: Mapping[type[Exception], Handler] | None = None
) -> Starlette:
    """An application.

    Args:
        routes: of the application.
        hint: for a request of ``/``, where there is no such route.
        handlers: of further errors.
    """

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        known = ", ".join(f"{'/'.join(sorted(route.methods or ()))} {route.path}" for route in routes)
        note = f"; {hint}" if hint and request.url.path == "/" else ""
        message = f"{request.method[:20]} {request.url.path[:60]}: {error.detail}; expected one of {known}{note}"
        return error_response(error.status_code, message.replace("GET/HEAD", "GET"), error.headers)

    async def failed(*_: object) -> JSONResponse:
        return error_response(500, "internal error; see the server's log")

    app = Starlette(
        routes=list(routes),
        middleware=[Middleware(Framing)],
        exception_handlers={HTTPException: refused, Exception: failed, **(handlers or {})},
    )
    app.router.redirect_slashes = False  # a redirection would name the host that the request names
    return app


def metrics_route(metrics: Metrics) -> Route:
    """The route of the metrics for Prometheus."""

    async def exposition(request: Request) -> Response:
        content, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type})

    return Route("/metrics", exposition)
