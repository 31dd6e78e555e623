"""The HTTP application, after SageMaker's hosting contract: GET /ping and POST /invocations.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ncf.serving.invocation import MAX_BODY_BYTES, Invocation, RequestError, parse
from ncf.serving.recommender import Recommendation, Recommender

VERSION_HEADER = "x-ncf-model-version"
request_log = logging.getLogger("ncf.serving.requests")
"""One line of JSON for each invocation; it holds no user ids."""


def create_app(loading: Future[Recommender]) -> FastAPI:
    """The application.

    Args:
        loading: the model, once it is loaded. Until then, and if it cannot be, both routes answer 503.
    """
    app = FastAPI(title="NCF recommender", docs_url=None, redoc_url=None, openapi_url=None)

    def loaded() -> Recommender | None:
        return loading.result() if loading.done() and loading.exception() is None else None

    @app.get("/ping")
    async def ping() -> JSONResponse:
        recommender = loaded()
        if recommender is None:
            return _error(503, "the model is not loaded yet")
        return JSONResponse({"model_version": recommender.version})

    @app.post("/invocations")
    async def invocations(request: Request) -> JSONResponse:
        start = time.perf_counter()
        recommender = loaded()
        invocation: Invocation | None = None
        answers: list[Recommendation] = []
        if recommender is None:
            response = _error(503, "the model is not loaded yet")
        else:
            try:
                invocation = parse(request.headers.get("content-type", ""), await _body(request))
                # in a thread, so that /ping answers within its 2 s while a large batch is scored
                answers = await run_in_threadpool(
                    recommender.recommend, invocation.users, invocation.k, invocation.exclude_seen
                )
                response = JSONResponse({"model_version": recommender.version, "recommendations": answers})
                response.headers[VERSION_HEADER] = recommender.version
            except RequestError as error:
                response = _error(error.status, str(error))
        _log(response.status_code, time.perf_counter() - start, invocation, answers)
        return response

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        routes = "GET /ping and POST /invocations"
        return _error(error.status_code, f"{request.method} {request.url.path}: {error.detail}; there are {routes}")

    @app.exception_handler(Exception)
    async def failed(*_: object) -> JSONResponse:
        return _error(500, "internal error; the log says more")

    return app


async def _body(request: Request) -> bytes:
    """The body of a request, never more than ``MAX_BODY_BYTES`` of it in memory."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise RequestError(413, f"body has more than {MAX_BODY_BYTES} bytes, the limit; send fewer users")
    except ClientDisconnect:
        raise RequestError(400, "the client left before its request was complete") from None
    return bytes(body)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)


def _log(status: int, seconds: float, invocation: Invocation | None, answers: list[Recommendation]) -> None:
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "status": status,
        "latency_ms": round(seconds * 1000, 3),
    }
    if invocation is not None:
        popular = sum(answer["source"] == "popular" for answer in answers)
        line |= {"users": len(answers), "k": invocation.k, "popular_share": round(popular / len(answers), 4)}
    request_log.info(json.dumps(line))
