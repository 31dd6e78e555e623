"""POST /invocations: from the bytes of a request to those of its answer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from ncf.serving.answers import Answer, Failure, sources_of
from ncf.serving.formats import JSON, Writer, accepted, media_type, requests_in
from ncf.serving.invocation import AnyForm, ForHistory, ForItem, RequestError, parse
from ncf.serving.load import RETRY_AFTER_SECONDS, SEND_SECONDS, BusyError, Load, read_body
from ncf.serving.metrics import Metrics
from ncf.serving.recommender import Recommender

VERSION_HEADER = "x-ncf-model-version"
NOT_LOADED = "the model is not loaded yet"
request_log = logging.getLogger("ncf.serving.requests")
"""One line of JSON for each invocation; it holds no user ids."""

_PAIRS_AT_ONCE = 8192
"""Scored in the event loop, some 3 ms at most: to hand them to a thread and back would take longer."""
_BYTES_AT_ONCE = 1 << 16
_PAIRS_A_TURN = 1 << 18
"""After so many of a body with many requests, some 0.1 s, those of others have their turn."""
_Result = TypeVar("_Result")


@dataclass
class Seen:
    """What is told of a request when it has ended."""

    status: int = 500
    forms: set[str] = field(default_factory=set)
    k: int | None = None
    batch: int = 0
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, form: AnyForm, answer: Answer) -> None:
        sources = sources_of(answer)
        self.forms.add(form.label)
        self.k = getattr(form, "k", None)
        self.batch += len(sources)
        self.sources.update(sources)

    @property
    def form(self) -> str:
        return self.forms.copy().pop() if len(self.forms) == 1 else "mixed" if self.forms else ""


class Invocations:
    """The ASGI application behind POST /invocations.

    Args:
        loaded: the model, or None while it is not loaded.
        metrics: told of each request.
        load: what is taken on at once.
    """

    def __init__(self, loaded: Callable[[], Recommender | None], metrics: Metrics, load: Load) -> None:
        self._loaded, self._metrics, self._load = loaded, metrics, load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, seen = time.perf_counter(), Seen()
        try:
            with self._load:
                self._metrics.in_flight = self._load.requests
                await self._answer(Request(scope, receive), send, seen)
        except BusyError as error:
            seen.status = 503
            await _refuse(send, 503, str(error))
        except RequestError as error:
            seen.status = error.status
            await _refuse(send, error.status, str(error))
        except OSError:
            seen.status = 499  # the client left, and reads no answer
        finally:
            self._metrics.in_flight = self._load.requests
            seconds = time.perf_counter() - start
            self._metrics.observe(seen.form, seen.status, seconds, seen.sources)
            request_log.info(_log_line(seen, seconds))

    async def _answer(self, request: Request, send: Send, seen: Seen) -> None:
        recommender = self._loaded()
        if recommender is None:
            raise BusyError(NOT_LOADED)
        given = media_type(request.headers.get("content-type", ""))
        wanted = accepted(request.headers.get("accept", ""), given)
        body = await read_body(request)
        writer = Writer(wanted, single=given == JSON)
        headers = [(b"content-type", wanted.encode()), (VERSION_HEADER.encode(), recommender.version.encode())]
        if given == JSON:
            form = parse(body) if len(body) <= _BYTES_AT_ONCE else await self._in_thread(lambda: parse(body))
            seen.forms.add(form.label)

            def work() -> bytes:
                answer = recommender.answer(form)
                seen.add(form, answer)
                return writer.write(form, answer) + writer.end()

            quick = recommender.pairs(form) <= _PAIRS_AT_ONCE and not isinstance(form, ForItem | ForHistory)
            content = work() if quick else await self._in_thread(work)
            await self._send(send, seen, headers, content)
        else:
            # all are checked first, so that a fault in the last of them is told before anything is answered
            await self._in_thread(lambda: sum(1 for _ in requests_in(body, given)))
            await self._stream(send, seen, headers, recommender, requests_in(body, given), writer)

    async def _stream(
        self,
        send: Send,
        seen: Seen,
        headers: list[tuple[bytes, bytes]],
        recommender: Recommender,
        requests: Iterator[AnyForm],
        writer: Writer,
    ) -> None:
        """Answer many requests, a part at a time, so that neither memory nor others' patience runs out."""
        first, more = await self._in_thread(lambda: _part(recommender, requests, writer, seen))
        if not more:
            await self._send(send, seen, headers, first)
            return
        seen.status = 200
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send_body(send, first, more=True)
        while more:
            content, more = await self._in_thread(lambda: _part(recommender, requests, writer, seen))
            await self._send_body(send, content, more=more)

    async def _send(self, send: Send, seen: Seen, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
        seen.status = 200
        headers.append((b"content-length", b"%d" % len(content)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send_body(send, content, more=False)

    async def _send_body(self, send: Send, content: bytes, more: bool) -> None:
        """A large part goes in pieces: each waits until the client has read what came before."""
        if len(content) <= _BYTES_AT_ONCE and not more:
            await send({"type": "http.response.body", "body": content})
            return
        unread = len(content)
        self._load.unread_bytes += unread
        try:
            for start in range(0, len(content), _BYTES_AT_ONCE) or [0]:
                piece = content[start : start + _BYTES_AT_ONCE]
                last = start + _BYTES_AT_ONCE >= len(content)
                async with asyncio.timeout(SEND_SECONDS):  # TimeoutError is an OSError: that client has left, too
                    await send({"type": "http.response.body", "body": piece, "more_body": more or not last})
                self._load.unread_bytes -= len(piece)
                unread -= len(piece)
        finally:
            self._load.unread_bytes -= unread

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._load.pool, work)


def _part(recommender: Recommender, requests: Iterator[AnyForm], writer: Writer, seen: Seen) -> tuple[bytes, bool]:
    """The answers to the next requests, and whether there may be more."""
    content, pairs = bytearray(), 0
    for form in requests:
        try:
            answer = recommender.answer(form)
            seen.add(form, answer)
            content += writer.write(form, answer)
        except RequestError as error:  # well formed, and not to be answered: the others are
            seen.forms.add(form.label)
            content += writer.write(form, Failure(error=str(error)))
        pairs += recommender.pairs(form)
        if pairs >= _PAIRS_A_TURN or len(content) >= _BYTES_AT_ONCE:
            return bytes(content), True
    return bytes(content) + writer.end(), False


async def _refuse(send: Send, status: int, message: str) -> None:
    content = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    if status == 503:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _log_line(seen: Seen, seconds: float) -> str:
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "status": seen.status,
        "latency_ms": round(seconds * 1000, 3),
    }
    if seen.form:
        line["form"] = seen.form
    if seen.batch:
        fallback = seen.sources["popular"] / seen.batch
        line |= {"batch": seen.batch, "fallback_share": round(fallback, 4)}
    if seen.k is not None:
        line["k"] = seen.k
    return json.dumps(line)
