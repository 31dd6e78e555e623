"""``ncf serve``: the HTTP server, in SageMaker's hosting container and on a laptop."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from pydantic import Field

from ncf.api import limits
from ncf.errors import InputError
from ncf.stage.declaration import Input, Stage
from ncf.storage import local_copy

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

    from ncf.serving.recommender import Recommender

_log = logging.getLogger(__name__)

_BACKLOG = 2048  # connections that wait to be accepted
_NOT_SENT_BYTES = 1 << 16
_SECONDS_TO_FINISH = 25  # SageMaker kills 30 s after SIGTERM


class Serve(Stage):
    """Serve a model over HTTP: POST /invocations returns recommendations, GET /ping returns 200 when ready.

    The server listens first and then loads the model. It is ready when it answers the model's golden requests with
    the scores of the trained network, and exits if the scores differ. On SIGTERM, requests in flight are finished.
    """

    model: str = Input("Model", "Model folder that the train stage wrote, or a model.tar.gz of it")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0: all")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0: any free port")
    page: bool = Field(
        False, description="Whether to serve a page at / that shows users, their histories and recommendations"
    )

    def run(self) -> None:
        # each request is scored on one core; OpenBLAS reads this when numpy is imported
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from prometheus_client import disable_created_metrics

        from ncf.serving.app import create_app, request_log

        disable_created_metrics()  # type: ignore[no-untyped-call]  # no time of creation beside each counter

        start = time.monotonic()
        loading: Future[Recommender] = Future()
        server = server_of(create_app(loading, page=self.page))

        def stop_if_failed(done: Future[Recommender]) -> None:
            if done.exception() is not None:
                server.should_exit = True
            else:
                _log.info("model %s loaded after %.1f s", done.result().version, time.monotonic() - start)

        loading.add_done_callback(stop_if_failed)
        request_log.addHandler(logging.StreamHandler(sys.stdout))
        request_log.propagate = False
        with listen(self.host, self.port) as listener:
            _log.info("listening on http://%s:%d", *listener.getsockname()[:2])
            threading.Thread(target=_load, args=(self.model, loading), daemon=True).start()
            server.run(sockets=[listener])
        if loading.done():
            loading.result()


def _load(location: str, loading: Future[Recommender]) -> None:
    """Load the model, check its golden answers and set the result of ``loading``.

    Mapped files remain readable after a temporary download is deleted.
    """
    from ncf.artifacts.archive import unpacked
    from ncf.artifacts.model_folder import ModelFolder
    from ncf.serving.golden import check
    from ncf.serving.recommender import Recommender

    try:
        with local_copy(location) as copy, unpacked(copy) as folder:
            model = ModelFolder.load(folder)
        recommender = Recommender(model)
        difference = check(recommender, model.golden)
        count = len(model.golden.requests)
        _log.info("%d golden requests answered right; scores differ by %.2g at most", count, difference)
        loading.set_result(recommender)
    except BaseException as error:  # raised by the main thread
        loading.set_exception(error)
        return
    recommender.prepare()  # so that the first request for similar items or by history is not slow


def server_of(app: Starlette) -> uvicorn.Server:
    """The HTTP server of an application, for sockets of :func:`listen`."""
    import uvicorn

    config = uvicorn.Config(
        app,
        http="h11",
        limit_concurrency=limits.MAX_CONNECTIONS,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Accepted connections inherit its options.

    Raises:
        InputError: if the address or the port cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(f"serve: cannot listen on host '{host}', port {port}: {error.strerror}") from None
    # without this, answers on a connection in use wait 40 ms for an acknowledgement; asyncio sets it only for
    # listeners that it creates
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # this kernel buffers little of what a client has not read
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES)
    # and resets the connection of a client that reads nothing
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.STALL_SECONDS * 1000))
    return listener
