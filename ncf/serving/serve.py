"""``ncf serve``: what runs in the container that SageMaker hosts, and the same on a laptop."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from pydantic import Field

from ncf.errors import InputError
from ncf.stage.declaration import Input, Stage
from ncf.storage import local_copy

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

    from ncf.serving.recommender import Recommender

_log = logging.getLogger(__name__)

_BACKLOG = 2048
_NOT_SENT_BYTES = 1 << 16
_SECONDS_TO_FINISH = 25  # SageMaker kills 30 s after SIGTERM


class Serve(Stage):
    """Serve a model over HTTP: POST /invocations answers with top items, GET /ping with 200 once it can.

    The server listens at once and loads the model meanwhile. It is ready when the model's golden requests are
    answered as the trained network answers them, and ends if they are not. SIGTERM lets requests in flight finish.
    """

    model: str = Input("Model", "Folder that the train stage wrote, or a model.tar.gz of it")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen at; 0.0.0.0 for all")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen at; 0 for any free one")
    page: bool = Field(
        False, description="Whether / is a page on which people look at users, their histories and recommendations"
    )

    def run(self) -> None:
        from ncf.cores import limit_blas
        from ncf.serving.app import create_app, request_log

        limit_blas(1)  # each thread scores its own request

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
            _log.info("listening at http://%s:%d", *listener.getsockname()[:2])
            threading.Thread(target=_load, args=(self.model, loading), daemon=True).start()
            server.run(sockets=[listener])
        if loading.done():
            loading.result()


def _load(location: str, loading: Future[Recommender]) -> None:
    """Load the model into ``loading`` once it answers as it should.

    Mapped files outlive a temporary download of them.
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
    except BaseException as error:  # the waiting thread raises it
        loading.set_exception(error)
        return
    recommender.prepare()  # nobody who asks by history or for similar items has to wait for it then


def server_of(app: Starlette) -> uvicorn.Server:
    """What serves the application on the connections of :func:`listen`."""
    import uvicorn

    from ncf.serving.protocol import Connection

    config = uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        InputError: if it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(f"serve: cannot listen at host '{host}', port {port}: {error.strerror}") from None
    # connections inherit this: asyncio sets it for listeners of its own making only, and without it answers
    # on a connection in use wait some 40 ms for an acknowledgement
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # what a client does not take waits in its own kernel and not in megabytes of ours
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES)
    return listener
