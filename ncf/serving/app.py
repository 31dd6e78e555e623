"""The HTTP application, after SageMaker's hosting contract: GET /ping and POST /invocations; and what people read.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ncf.api.requests import MAX_BODY_BYTES
from ncf.serving import metrics as prometheus
from ncf.serving.html import html_route
from ncf.serving.invocations import NOT_LOADED, VERSION_HEADER, Invocations, request_log
from ncf.serving.load import MAX_REQUESTS, RETRY_AFTER_SECONDS, Load
from ncf.serving.metrics import Metrics
from ncf.serving.page import routes as page_routes
from ncf.serving.recommender import Recommender

__all__ = ["VERSION_HEADER", "create_app", "request_log"]

_MAX_TRANSFORM_MEGABYTES = 100
"""Of all payloads that a batch transform job may have under way at once: MaxPayloadInMB of CreateTransformJob."""


def create_app(loading: Future[Recommender], max_requests: int = MAX_REQUESTS, page: bool = False) -> Starlette:
    """The application.

    Args:
        loading: the model, once it is loaded. Until then, and if it cannot be, what needs it answers 503.
        max_requests: invocations that are taken on at once.
        page: whether people find a page at ``/``, which shows users and their histories.
    """
    load = Load(max_requests)
    metrics = Metrics(load)

    def loaded() -> Recommender | None:
        return loading.result() if loading.done() and loading.exception() is None else None

    async def ping(_: Request) -> JSONResponse:
        recommender = loaded()
        if recommender is None:
            return _error(503, NOT_LOADED)
        return JSONResponse({"model_version": recommender.version})

    async def execution_parameters(_: Request) -> JSONResponse:
        """What a batch transform job takes where its request leaves it open."""
        megabytes = MAX_BODY_BYTES >> 20
        return JSONResponse(
            {
                "MaxConcurrentTransforms": min(
                    len(os.sched_getaffinity(0)), max_requests, _MAX_TRANSFORM_MEGABYTES // megabytes
                ),
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": megabytes,
            }
        )

    async def metrics_page(_: Request) -> Response:
        recommender = loaded()
        version, config = ("", None) if recommender is None else (recommender.version, recommender.config)
        return Response(metrics.text(version, config), headers={"content-type": prometheus.CONTENT_TYPE})

    async def openapi(_: Request) -> JSONResponse:
        from ncf.serving.openapi import document

        return JSONResponse(document())

    routes = [
        Route("/ping", ping),
        Route("/invocations", Invocations(loaded, metrics, load), methods=["POST"]),
        Route("/execution-parameters", execution_parameters),
        Route("/metrics", metrics_page),
        Route("/openapi.json", openapi),
        html_route("/docs", "docs.html"),
    ]
    if page:
        routes += page_routes(loaded, _error)

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        there_are = ", ".join(f"{'/'.join(sorted(route.methods or ()))} {route.path}" for route in routes)
        message = f"{request.method} {request.url.path[:60]}: {error.detail}; there are {there_are}"
        return _error(error.status_code, message.replace("GET/HEAD", "GET"), error.headers)

    async def failed(*_: object) -> JSONResponse:
        return _error(500, "internal error; the log says more")

    return Starlette(routes=routes, exception_handlers={HTTPException: refused, Exception: failed})


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    retry = {"retry-after": str(RETRY_AFTER_SECONDS)} if status == 503 else {}
    return JSONResponse({"error": message}, status, {**(headers or {}), **retry})
