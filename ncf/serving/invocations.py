"""POST /invocations: from the bytes of a request to those of its answer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from ncf.api.formats import JSON, Writer, accepted, media_type, requests_in
from ncf.api.requests import AnyForm, ForHistory, ForItem, RequestError, parse
from ncf.serving.body import Body
from ncf.serving.load import RETRY_AFTER_SECONDS, BusyError, Load
from ncf.serving.metrics import Metrics
from ncf.serving.parts import BYTES_AT_ONCE, Part, Parts, Seen
from ncf.serving.protocol import ClientLeftError
from ncf.serving.recommender import Recommender

VERSION_HEADER = "x-ncf-model-version"
NOT_LOADED = "the model is not loaded yet"
CLIENT_LEFT, CUT_SHORT = 499, 504
"""What logs and metrics say in place of a status where there was nobody to answer, or an answer took too long."""
REQUEST_SECONDS = 600.0
"""From the first byte of a request to the last of its answer; as long as a batch transform waits by default."""
request_log = logging.getLogger("ncf.serving.requests")
"""One line of JSON for each invocation; it holds no user ids."""
_log = logging.getLogger(__name__)

_PAIRS_AT_ONCE = 8192
"""Scored in the event loop, some 3 ms at most: to hand them to a thread and back would take longer."""


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
        start, seen, request = time.perf_counter(), Seen(), Request(scope, receive)
        body = Body(request.headers, receive)
        try:
            try:
                with self._load:
                    async with asyncio.timeout(REQUEST_SECONDS):
                        await self._answer(request, body, send, seen)
            except TimeoutError:
                if seen.status != 200:
                    raise BusyError(f"no answer after {REQUEST_SECONDS:g} seconds, the limit") from None
                _log.warning("an answer was cut short after %g s, the limit; send fewer lines", REQUEST_SECONDS)
                seen.status = CUT_SHORT
                raise ClientLeftError from None
        except BusyError as error:
            seen.status = 503
            await _refuse(send, body, 503, str(error))
        except RequestError as error:
            seen.status = error.status
            await _refuse(send, body, error.status, str(error))
        except ClientLeftError:
            if seen.status != CUT_SHORT:
                seen.status = CLIENT_LEFT
            raise
        except BaseException:
            seen.status = 500
            raise
        finally:
            seconds = time.perf_counter() - start
            self._metrics.observe(seen.form, seen.status, seconds, seen.sources)
            request_log.info(_log_line(seen, seconds))

    async def _answer(self, request: Request, body: Body, send: Send, seen: Seen) -> None:
        recommender = self._loaded()
        if recommender is None:
            raise BusyError(NOT_LOADED)
        given = media_type(_header(request, "content-type"))
        wanted = accepted(_header(request, "accept"), given)
        content = await body.read()
        is_quick, forms = False, requests_in(content, given)
        if given == JSON:
            is_short = len(content) <= BYTES_AT_ONCE
            form = parse(content) if is_short else await self._load.in_thread(lambda: parse(content))
            is_quick, forms = _is_quick(form, recommender), iter([form])
        else:
            # all are checked first, so that a fault in the last of them is told before anything is answered
            await self._load.in_thread(lambda: sum(1 for _ in requests_in(content, given)))
        parts = Parts(recommender, forms, Writer(wanted, single=given == JSON), seen, single=given == JSON)
        if is_quick:
            part, more = self._load.part_at_once(parts.next)
        else:
            part, more = await self._next(parts, request, begun=False)
        seen.status = 200
        headers = [(b"content-type", wanted.encode()), (VERSION_HEADER.encode(), recommender.version.encode())]
        if not more:
            headers.append((b"content-length", b"%d" % len(part)))
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await self._send(send, part, more, [start])
        while more:
            part, more = await self._next(parts, request, begun=True)
            await self._send(send, part, more)

    async def _next(self, parts: Parts, request: Request, begun: bool) -> Part:
        """The next part of an answer, unless the client leaves meanwhile."""
        making = asyncio.ensure_future(self._load.part_in_thread(parts.next, begun))
        leaving = asyncio.ensure_future(_leaving(request.receive))
        try:
            await asyncio.wait({making, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not making.done():
                raise ClientLeftError
            return making.result()
        except BaseException:
            making.cancel()
            making.add_done_callback(self._load.dropped)
            raise
        finally:
            leaving.cancel()

    async def _send(self, send: Send, part: bytes, more: bool, before: Iterable[Message] = ()) -> None:
        """A part, in pieces that each wait until the client has taken what came before."""
        try:
            for message in before:
                await send(message)
            for start in range(0, len(part), BYTES_AT_ONCE) or (0,):
                piece, is_last = part[start : start + BYTES_AT_ONCE], start + BYTES_AT_ONCE >= len(part)
                await send({"type": "http.response.body", "body": piece, "more_body": more or not is_last})
        finally:
            self._load.taken(len(part))


def _header(request: Request, name: str) -> str:
    """A header's lines as one (RFC 9110, 5.3)."""
    return ", ".join(request.headers.getlist(name))


def _is_quick(form: AnyForm, recommender: Recommender) -> bool:
    return recommender.pairs(form) <= _PAIRS_AT_ONCE and not isinstance(form, ForItem | ForHistory)


async def _leaving(receive: Receive) -> None:
    """Returns when the client leaves, which is all that may come behind the body."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, body: Body, status: int, message: str) -> None:
    content = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    if status == 503:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": True})
    await body.discard()
    await send({"type": "http.response.body"})


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
