"""Invocations: a bounded body is read, its requests are answered, and the whole answer is sent."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from ncf.api import limits
from ncf.api.formats import media_of, read_requests
from ncf.api.media_types import JSON, accepted, media_type
from ncf.api.requests import AnyForm, ForHistory, ForItem, Invocation, RequestError
from ncf.serving.answering import answer_body
from ncf.serving.backpressure import Backpressure, Check, UnavailableError
from ncf.serving.body import RequestBody
from ncf.serving.error_response import error_response
from ncf.serving.metrics import Metrics
from ncf.serving.recommender import Recommender
from ncf.serving.request_stats import RequestStats

VERSION_HEADER = "x-ncf-model-version"
TARGET_HEADER = "x-amzn-sagemaker-target-model"
"""Name of the model in a request to a multi-model endpoint."""
_MAX_TARGET_LENGTH = 200
NOT_LOADED = "the model is not loaded yet"
CLIENT_LEFT = 499
"""Status in logs and metrics if the client disconnects, or does not read the answer in time."""
request_log = logging.getLogger("ncf.serving.requests")
"""One line of JSON for each request; without user ids."""
_log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 16
"""Bytes that are sent at once. Only larger answers are counted until they are read."""
_QUICK_BYTES = 1 << 16
_QUICK_PAIRS = 8192
"""Pairs of user and item that are scored in the event loop, in 3 ms at most. A thread would add more latency."""


class Invocations:
    """ASGI application of invocations.

    Args:
        model_of: returns the model of a request; raises UnavailableError or RequestError if it is not loaded.
        metrics: updated with each request.
        backpressure: admits requests and work.
    """

    def __init__(self, model_of: Callable[[Scope], Recommender], metrics: Metrics, backpressure: Backpressure) -> None:
        self._model_of, self._metrics, self._backpressure = model_of, metrics, backpressure
        # the interpreter's lock is held while JSON is parsed: one thread at a time leaves room for the event loop
        self._reading = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, stats, request = time.perf_counter(), RequestStats(), Request(scope, receive)
        body = RequestBody(request)
        try:
            with self._backpressure.request():
                await self._respond(request, body, send, stats)
        except (RequestError, UnavailableError) as error:
            stats.status = error.status
            await _refuse(error.status, str(error), body, send)
        except (ClientDisconnect, asyncio.CancelledError):  # cancelled: not answered within the time after SIGTERM
            stats.status = CLIENT_LEFT
        finally:
            seconds = time.perf_counter() - start
            self._metrics.observe(stats, seconds)
            request_log.info(stats.log_line(seconds))

    async def _respond(self, request: Request, body: RequestBody, send: Send, stats: RequestStats) -> None:
        stats.target = _header(request, TARGET_HEADER)[:_MAX_TARGET_LENGTH]
        recommender = self._model_of(request.scope)
        given = media_type(_header(request, "content-type"))
        wanted = accepted(_header(request, "accept"), given)
        content = await body.read()
        if (found := media_of(content, given)) != given:
            given, wanted = found, found if wanted == given else wanted
        answer = await self._answer(recommender, request, content, given, wanted, stats)
        headers = [
            (b"content-type", wanted.encode()),
            (b"content-length", b"%d" % len(answer)),
            (VERSION_HEADER.encode(), recommender.version.encode()),
        ]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        if len(answer) <= _CHUNK_BYTES:
            await send(start)
            await send({"type": "http.response.body", "body": answer})
        else:
            with self._backpressure.unread(len(answer)):
                await _send_chunks(start, answer, request, send)
        stats.status = 200

    async def _answer(
        self, recommender: Recommender, request: Request, body: bytes, given: str, wanted: str, stats: RequestStats
    ) -> bytes:
        """The whole answer, made in the event loop if that is quick, or else by one call in a worker thread."""
        form = read_requests(body, given)[0] if given == JSON and len(body) <= _QUICK_BYTES else None

        def work(check: Check) -> bytes:
            if form is None:
                with self._reading:
                    check()
                    requests = read_requests(body, given)
            else:
                requests = [form]
            return answer_body(recommender, requests, wanted, given == JSON, stats, check)

        if form is not None and _is_quick(form, recommender):
            return self._backpressure.run(work)
        many_lists = form is None or (isinstance(form, Invocation) and len(form.users) > 1)
        return await self._backpressure.run_in_thread(work, request.receive, many_lists)


def _header(request: Request, name: str) -> str:
    """The lines of a header, joined (RFC 9110, 5.3)."""
    return ", ".join(request.headers.getlist(name))


def _is_quick(form: AnyForm, recommender: Recommender) -> bool:
    return recommender.pairs(form) <= _QUICK_PAIRS and not isinstance(form, ForItem | ForHistory)


async def _send_chunks(start: Message, content: bytes, request: Request, send: Send) -> None:
    """Send a large answer in chunks.

    uvicorn buffers 64 KiB of a connection. Each further ``send`` waits until the client has read more.

    Raises:
        ClientDisconnect: if the client disconnects, or does not read everything in time.
    """
    *offsets, last = range(0, len(content), _CHUNK_BYTES)
    try:
        async with asyncio.timeout(limits.SEND_SECONDS):
            await send(start)
            for offset in offsets:
                chunk = content[offset : offset + _CHUNK_BYTES]
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if await request.is_disconnected():
                raise ClientDisconnect
            await send({"type": "http.response.body", "body": content[last:]})
    except TimeoutError:
        _log.warning("a client did not read an answer within %g s; the answer is cut", limits.SEND_SECONDS)
        raise ClientDisconnect from None


async def _refuse(status: int, message: str, body: RequestBody, send: Send) -> None:
    response = error_response(status, message)
    await send({"type": "http.response.start", "status": status, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    await body.discard()
    await send({"type": "http.response.body"})
