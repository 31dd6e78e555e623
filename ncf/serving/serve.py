"""``ncf serve``: the HTTP server, in SageMaker's hosting container and on a laptop."""

from __future__ import annotations

import logging
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from ncf.stage.declaration import Input, Stage, check_one_given

if TYPE_CHECKING:
    import uvicorn

    from ncf.serving.recommender import Recommender

_log = logging.getLogger(__name__)


class Serve(Stage):
    """Serve a model over HTTP: POST /invocations returns recommendations, GET /ping returns 200 when ready.

    The server listens first and then loads the model. It is ready when it answers the model's golden requests with
    the scores of the trained network, and exits if the scores differ. On Ctrl-C and SIGTERM, requests in flight are
    finished. With 'models' the server is that of a multi-model endpoint, which loads models on request.
    """

    model: str = Input(
        "Model",
        "Model folder that the train stage wrote, or a tar archive of it, such as model.tar.gz",
        optional=True,
    )
    models: str = Field("", description="Folder under which a multi-model endpoint has its models, instead of 'model'")
    memory: int = Field(
        0,
        ge=0,
        description="Bytes of memory up to which a multi-model endpoint loads models; 0: 80 % of the container's",
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0: all")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0: any free port")
    page: bool = Field(
        False, description="Whether to serve a page at / that shows users, their histories and recommendations"
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> Serve:
        check_one_given(self, "model", "models")
        if self.models and self.page:
            raise ValueError("parameter 'page' is true: the page shows one model; give 'model' instead of 'models'")
        return self

    def run(self) -> None:
        from prometheus_client import disable_created_metrics

        from ncf.cores import limit_blas

        disable_created_metrics()  # type: ignore[no-untyped-call]  # no time of creation beside each counter

        limit_blas(1)  # each thread scores its own request
        if self.models:
            self._serve_models()
        else:
            self._serve_model()

    def _serve_models(self) -> None:
        from ncf.serving.model_store import ModelStore
        from ncf.serving.multi_model import create_multi_model_app
        from ncf.serving.server import server_of

        store = ModelStore(Path(self.models), self.memory)
        self._run(server_of(create_multi_model_app(store)))

    def _serve_model(self) -> None:
        from ncf.serving.app import create_app
        from ncf.serving.server import server_of

        start = time.monotonic()
        loading: Future[Recommender] = Future()
        server = server_of(create_app(loading, page=self.page))

        def stop_if_failed(done: Future[Recommender]) -> None:
            if done.exception() is not None:
                server.should_exit = True
            else:
                _log.info("model %s loaded after %.1f s", done.result().version, time.monotonic() - start)

        loading.add_done_callback(stop_if_failed)
        self._run(server, threading.Thread(target=_load, args=(self.model, loading), daemon=True))
        if loading.done():
            loading.result()

    def _run(self, server: uvicorn.Server, loader: threading.Thread | None = None) -> None:
        """Listen, and then start the thread that loads the model, until the server is stopped."""
        from ncf.serving.invocations import request_log
        from ncf.serving.server import listen

        request_log.addHandler(logging.StreamHandler(sys.stdout))
        request_log.propagate = False
        with listen(self.host, self.port) as listener:
            _log.info("listening on http://%s:%d", *listener.getsockname()[:2])
            if loader is not None:
                loader.start()
            try:
                server.run(sockets=[listener])
            except KeyboardInterrupt:  # which uvicorn raises when it has stopped
                _log.info("stopped by Ctrl-C")


def _load(location: str, loading: Future[Recommender]) -> None:
    """Load the model and set the result of ``loading``."""
    from ncf.serving.loading import load

    try:
        recommender = load(location)
        loading.set_result(recommender)
    except BaseException as error:  # raised by the main thread
        loading.set_exception(error)
        return
    recommender.prepare()  # so that the first request for similar items or by history is not slow
