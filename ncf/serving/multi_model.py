"""The HTTP application of a multi-model endpoint: models are loaded, listed, unloaded and invoked by name.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from ncf.api import limits
from ncf.api.requests import RequestError
from ncf.serving.application import application, metrics_route
from ncf.serving.backpressure import Backpressure
from ncf.serving.body import RequestBody
from ncf.serving.error_response import error_response
from ncf.serving.invocations import Invocations
from ncf.serving.metrics import Metrics
from ncf.serving.model_store import ModelError, ModelStore, StoredModel
from ncf.serving.recommender import Recommender

_LOADED = {200: "loaded", 409: "loaded_already", 507: "no_room"}
_FAILED = "failed"
_PAGE_TOKEN = "next_page_token"


class _Load(BaseModel):
    """Body of POST /models."""

    model_name: str
    url: str


def create_multi_model_app(store: ModelStore, max_requests: int = limits.MAX_REQUESTS) -> Starlette:
    """The application.

    Args:
        store: the models.
        max_requests: invocations in flight, of all models.
    """
    backpressure = Backpressure(max_requests)
    metrics = Metrics(backpressure)
    metrics.count_models(lambda: len(store))

    def of_request(scope: Scope) -> Recommender:
        try:
            return store.get(scope["path_params"]["name"]).recommender
        except ModelError as error:
            raise RequestError(error.status, str(error)) from None

    async def ping(_: Request) -> JSONResponse:
        return JSONResponse({"models": len(store)})

    async def load(request: Request) -> Response:
        status = 500
        try:
            wanted = await _load_of(request)
            await store.load(wanted.model_name, wanted.url)
            status = 200
        except ModelError as error:
            status = error.status
            raise
        finally:
            metrics.count_load(_LOADED.get(status, _FAILED))
        return Response()

    async def list_models(request: Request) -> JSONResponse:
        found, following = store.page(request.query_params.get(_PAGE_TOKEN, ""))
        more = {"nextPageToken": following} if following else {}
        return JSONResponse({"models": [_described(model) for model in found], **more})

    async def get(request: Request) -> JSONResponse:
        return JSONResponse(_described(store.get(request.path_params["name"])))

    async def unload(request: Request) -> Response:
        await store.unload(request.path_params["name"])
        return Response()

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ModelError)
        return error_response(error.status, str(error))

    invocations = Invocations(of_request, metrics, backpressure)
    routes = [
        Route("/ping", ping),
        Route("/models", load, methods=["POST"]),
        Route("/models", list_models, methods=["GET"]),
        Route("/models/{name}", get, methods=["GET"]),
        Route("/models/{name}", unload, methods=["DELETE"]),
        Route("/models/{name}/invoke", invocations, methods=["POST"]),
        metrics_route(metrics),
    ]
    return application(routes, handlers={ModelError: refused})


async def _load_of(request: Request) -> _Load:
    """The body of a request to load a model.

    Raises:
        ModelError: 400 if it is invalid.
    """
    try:
        return _Load.model_validate_json(await RequestBody(request).read())
    except RequestError as error:
        raise ModelError(error.status, str(error)) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))[:60] or "body"
        raise ModelError(400, f"{field}: {first['msg'][:200]}; expected JSON with model_name and url") from None


def _described(model: StoredModel) -> dict[str, str]:
    return {"modelName": model.name, "modelUrl": model.url}
