"""``ncf serve``: the HTTP server, in SageMaker's hosting container and on a laptop."""

from __future__ import annotations

import logging
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from pydantic import Field

from ncf.stage.declaration import Input, Stage
from ncf.storage import local_copy

if TYPE_CHECKING:
    from ncf.serving.recommender import Recommender

_log = logging.getLogger(__name__)


class Serve(Stage):
    """Serve a model over HTTP: POST /invocations returns recommendations, GET /ping returns 200 when ready.

    The server listens first and then loads the model. It is ready when it answers the model's golden requests with
    the scores of the trained network, and exits if the scores differ. On Ctrl-C and SIGTERM, requests in flight are
    finished.
    """

    model: str = Input("Model", "Model folder that the train stage wrote, or a tar archive of it, such as model.tar.gz")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0: all")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0: any free port")
    page: bool = Field(
        False, description="Whether to serve a page at / that shows users, their histories and recommendations"
    )

    def run(self) -> None:
        from prometheus_client import disable_created_metrics

        from ncf.cores import limit_blas
        from ncf.serving.app import create_app, request_log
        from ncf.serving.server import listen, server_of

        disable_created_metrics()  # type: ignore[no-untyped-call]  # no time of creation beside each counter

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
            _log.info("listening on http://%s:%d", *listener.getsockname()[:2])
            threading.Thread(target=_load, args=(self.model, loading), daemon=True).start()
            try:
                server.run(sockets=[listener])
            except KeyboardInterrupt:  # which uvicorn raises when it has stopped
                _log.info("stopped by Ctrl-C")
                return
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
