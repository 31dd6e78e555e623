"""The HTTP application after SageMaker's hosting contract: GET /ping, POST /invocations, and what describes them.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

from concurrent.futures import Future

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Scope

from ncf.api import limits
from ncf.cores import available_cores
from ncf.serving.application import application, metrics_route
from ncf.serving.backpressure import Backpressure, UnavailableError
from ncf.serving.error_response import error_response
from ncf.serving.html import html_route
from ncf.serving.invocations import NOT_LOADED, VERSION_HEADER, Invocations, request_log
from ncf.serving.metrics import Metrics
from ncf.serving.page import routes as page_routes
from ncf.serving.recommender import Recommender

__all__ = ["VERSION_HEADER", "create_app", "request_log"]

_MAX_TRANSFORM_MEGABYTES = 100
"""MaxConcurrentTransforms times MaxPayloadInMB, at most, in CreateTransformJob."""


def create_app(loading: Future[Recommender], max_requests: int = limits.MAX_REQUESTS, page: bool = False) -> Starlette:
    """The application.

    Args:
        loading: the model. Requests that need it are answered with 503 until it is loaded.
        max_requests: invocations in flight.
        page: whether to serve the page at ``/``, which shows users and their histories.
    """
    backpressure = Backpressure(max_requests)
    metrics = Metrics(backpressure)

    def loaded() -> Recommender | None:
        return loading.result() if loading.done() and loading.exception() is None else None

    def describe_model(_: Future[Recommender]) -> None:
        if (recommender := loaded()) is not None:
            metrics.model_loaded(recommender)

    loading.add_done_callback(describe_model)

    def of_request(_: Scope) -> Recommender:
        if (recommender := loaded()) is None:
            raise UnavailableError(NOT_LOADED)
        return recommender

    async def ping(_: Request) -> JSONResponse:
        recommender = loaded()
        if recommender is None:
            return error_response(503, NOT_LOADED)
        return JSONResponse({"model_version": recommender.version})

    async def execution_parameters(_: Request) -> JSONResponse:
        """Defaults of a batch transform job. MultiRecord would fill payloads beyond the limit on records."""
        megabytes = limits.MAX_BODY_BYTES >> 20
        return JSONResponse(
            {
                "MaxConcurrentTransforms": min(available_cores(), max_requests, _MAX_TRANSFORM_MEGABYTES // megabytes),
                "BatchStrategy": "SINGLE_RECORD",
                "MaxPayloadInMB": megabytes,
            }
        )

    async def openapi(_: Request) -> JSONResponse:
        from ncf.serving.openapi import document

        return JSONResponse(document())

    routes = [
        Route("/ping", ping),
        Route("/invocations", Invocations(of_request, metrics, backpressure), methods=["POST"]),
        Route("/execution-parameters", execution_parameters),
        metrics_route(metrics),
        Route("/openapi.json", openapi),
        html_route("/docs", "docs.html"),
    ]
    if page:
        routes += page_routes(loaded, error_response)

    hint = "" if page else "'ncf serve --page true' serves a page here"
    return application(routes, hint)
