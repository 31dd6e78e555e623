"""The OpenAPI 3.1 document of the HTTP interface, generated from the types of requests and answers.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

import ncf
from ncf.api import limits
from ncf.api.answers import Failure, Ranking, Recommendations, Scores, SimilarItems
from ncf.api.media_types import CSV, JSON, LINES
from ncf.api.requests import FORMS
from ncf.serving.invocations import VERSION_HEADER

_ANSWERS = {
    "Recommendations": Recommendations,
    "Scores": Scores,
    "Ranking": Ranking,
    "SimilarItems": SimilarItems,
    "Failure": Failure,
}
_FAULTS = {
    400: "The body is not JSON, JSON Lines or CSV in UTF-8, or is empty",
    406: "The client accepts none of the media types",
    408: f"The body is not complete after {limits.BODY_SECONDS:g} seconds",
    413: f"The body has more than {limits.MAX_BODY_BYTES} bytes or {limits.MAX_RECORDS} records, or asks for more than "
    f"{limits.MAX_ITEMS} items in all",
    415: "The content type, charset or content encoding is not supported",
    422: "A value, a field or an id is not accepted, or the fields belong to several forms",
    500: "Internal error",
    503: "The model is not loaded yet, or the server has too many requests in flight; see Retry-After",
}
_LINES_EXAMPLE = '{"users": ["u42"], "k": 5}\n{"item": "i1"}\n'
_CSV_EXAMPLE = "u42\nu7\n"
_PREFIX = "#/components/schemas/{model}"


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    schemas: dict[str, Any] = {}
    for name, model in [(form.__name__, form) for form in FORMS] + list(_ANSWERS.items()):
        schema = TypeAdapter(model).json_schema(ref_template=_PREFIX)
        schemas |= schema.pop("$defs", {})
        schemas[name] = schema
    _accept_integers_as_ids(schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "NCF recommender", "version": ncf.__version__},
        "paths": {
            "/ping": {"get": _operation("Readiness: whether the model is loaded", _version_schema(), 503)},
            "/invocations": {"post": _invocations(schemas)},
            "/execution-parameters": {"get": _operation("Defaults of a batch transform job", {"type": "object"})},
            "/metrics": {"get": _operation("Metrics for Prometheus", {"type": "string"}, media="text/plain")},
        },
        "components": {"schemas": schemas},
    }


def _invocations(schemas: dict[str, Any]) -> dict[str, Any]:
    forms = [{"$ref": _PREFIX.format(model=form.__name__)} for form in FORMS]
    answers = [{"$ref": _PREFIX.format(model=name)} for name in _ANSWERS if name != "Failure"]
    examples = {
        form.label: {"summary": (form.__doc__ or "").strip(), "value": schemas[form.__name__]["examples"][0]}
        for form in FORMS
    }
    text = {"type": "string"}
    return {
        "summary": "Recommend items, score items or find similar items: one form in a request",
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"anyOf": forms}, "examples": examples},
                LINES: {"schema": text, "example": _LINES_EXAMPLE},
                CSV: {"schema": text, "example": _CSV_EXAMPLE},
            },
        },
        "responses": {
            "200": {
                "description": "The answer, in the media type that the client accepts, by default that of the request",
                "headers": {VERSION_HEADER: {"schema": text, "description": "Version of the model"}},
                "content": {
                    JSON: {"schema": {"anyOf": [*answers, {"type": "array"}]}},
                    LINES: {"schema": text},
                    CSV: {"schema": text},
                },
            },
            **_faults(*_FAULTS),
        },
    }


def _operation(summary: str, schema: dict[str, Any], *faults: int, media: str = JSON) -> dict[str, Any]:
    answer = {"description": summary, "content": {media: {"schema": schema}}}
    return {"summary": summary, "responses": {"200": answer, **_faults(*faults)}}


def _faults(*statuses: int) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": _PREFIX.format(model="Failure")}}}
    return {str(status): {"description": _FAULTS[status], "content": content} for status in statuses}


def _version_schema() -> dict[str, Any]:
    return {"type": "object", "properties": {"model_version": {"type": "string"}}, "required": ["model_version"]}


def _accept_integers_as_ids(node: Any) -> None:
    """Let ids be integers too. The schemas of the models describe the values after validation."""
    if isinstance(node, dict):
        if node.get("type") == "string" and "maxLength" in node:
            node["type"] = ["string", "integer"]
            node |= {"minimum": -(2**63) + 1, "maximum": 2**63 - 1}
        for value in node.values():
            _accept_integers_as_ids(value)
    elif isinstance(node, list):
        for value in node:
            _accept_integers_as_ids(value)
