"""Error messages of invalid requests: pydantic's errors as one sentence in the terms of the API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

_SHOWN_CHARACTERS = 60


def message_of(form: type[BaseModel], keys: Sequence[str], content: object, error: Any) -> str:
    """The message of an error: the field, what is wrong with it, and what is accepted.

    Args:
        form: form of the request.
        keys: fields of which a request has one.
        content: the request, as parsed.
        error: pydantic's first error.
    """
    kind, value, path = error["type"], error["input"], error["loc"]
    if kind in ("pairs", "repeat"):
        return str(error["msg"])
    if not path:
        return f"body is {shown(value)}; expected an object with one of {', '.join(keys)}"
    if kind == "extra_forbidden":
        beside = " and ".join(repr(name) for name, field in form.model_fields.items() if field.is_required())
        return f"{shown(path[0])} is not a field beside {beside}; accepted are {', '.join(form.model_fields)}"
    schema = _schema(form)["properties"][path[0]]
    if kind == "missing":
        given = next((key for key in (*keys, "user") if isinstance(content, dict) and key in content), None)
        if given is None:
            return f"{path[0]} is missing; expected {_expected(schema)}, or one of {', '.join(keys[1:])}"
        instead = f"; for the best of all items send {keys[0]!r} instead" if given == "user" else ""
        return f"{path[0]} is missing beside {given!r}; expected {_expected(schema)}{instead}"
    if len(path) > 1:
        schema = next(part for part in (schema, *schema.get("anyOf", ())) if "items" in part)["items"]
    field = path[0] + "".join(f"[{index}]" for index in path[1:])
    found = f"is {shown(value)}"
    if kind == "missing_id":
        found += ", which stands for a missing value"
    if kind == "too_long":
        found = f"has {len(value)} entries"
    elif kind == "string_too_long":
        found = f"has {len(value)} characters"
    return f"{field} {found}; expected {_expected(schema)}"


@cache
def _schema(form: type[BaseModel]) -> dict[str, Any]:
    return form.model_json_schema()


def _expected(schema: dict[str, Any]) -> str:
    """The accepted values of a field, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_expected(part) for part in schema["anyOf"])
    match schema["type"]:
        case "array":
            least = f"{schema['minItems']} to" if "minItems" in schema else "at most"
            return f"a list of {least} {schema['maxItems']} raw ids"
        case "string":
            return f"a string of {schema['minLength']} to {schema['maxLength']} characters, or an integer of 64 bits"
        case "integer":
            return f"an integer from {schema['minimum']} to {schema['maximum']}"
        case "boolean":
            return "true or false"
    return str(schema["type"])


def shown(value: Any) -> str:
    """A value as shown in a message, 60 characters at most."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
