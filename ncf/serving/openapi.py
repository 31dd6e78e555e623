"""The description of the HTTP interface after OpenAPI 3.1, made from the models that check requests and the answers.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

import ncf
from ncf.api.answers import Failure, Ranking, Recommendations, Scores, SimilarItems
from ncf.api.formats import CSV, JSON, LINES
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
    400: "The body is not JSON, JSON Lines or CSV in UTF-8, or holds nothing",
    406: "No media type that the client accepts is there",
    408: "The body does not come",
    413: "The body is too large",
    415: "Another content type, charset or encoding",
    422: "A value, a field or an id is not accepted, or fields are of several forms",
    500: "A defect of the server",
    503: "The model is not loaded yet, or the server has as much to do as it takes on; Retry-After says when to try",
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
            "/ping": {"get": _operation("Whether the model is loaded", _version_schema(), 503)},
            "/invocations": {"post": _invocations(schemas)},
            "/execution-parameters": {"get": _operation("What a batch transform job should use", {"type": "object"})},
            "/metrics": {"get": _operation("Counters for Prometheus", {"type": "string"}, media="text/plain")},
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
        "summary": "Recommend, score or compare: one form a request",
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
                "description": "The answer, in the media type that was accepted, or else of the request",
                "headers": {VERSION_HEADER: {"schema": text, "description": "The model that answers"}},
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
    """Ids may come as integers too, which the models' schemas, of what they hold, do not say."""
    if isinstance(node, dict):
        if node.get("type") == "string" and "maxLength" in node:
            node["type"] = ["string", "integer"]
            node |= {"minimum": -(2**63) + 1, "maximum": 2**63 - 1}
        for value in node.values():
            _accept_integers_as_ids(value)
    elif isinstance(node, list):
        for value in node:
            _accept_integers_as_ids(value)
