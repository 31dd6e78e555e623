"""What POST /invocations accepts, and how it says what is wrong with a request."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError

MAX_K = 1000
MAX_USERS = 100
MAX_ID_LENGTH = 512
MAX_BODY_BYTES = 1 << 20
CONTENT_TYPE = "application/json"
_MAX_INTEGER = 1 << 63
_SHOWN_CHARACTERS = 60


class RequestError(Exception):
    """A request at fault: an HTTP status of 4xx and a message that names field, value and limit."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _integer_as_text(value: object) -> object:
    return str(value) if type(value) is int and abs(value) < _MAX_INTEGER else value


class Invocation(BaseModel):
    """The body of a request.

    Attributes:
        users: raw user ids; integers count as their decimal digits.
        k: items for each user.
        exclude_seen: leave out what a user has interacted with.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    users: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH), BeforeValidator(_integer_as_text)]],
        Field(min_length=1, max_length=MAX_USERS),
        FailFast(),
    ]
    k: int = Field(10, ge=1, le=MAX_K)
    exclude_seen: bool = True


def parse(content_type: str, body: bytes) -> Invocation:
    """Read a request's body.

    Raises:
        RequestError: 415 for another content type, 400 for what is not JSON, 422 for what is not accepted.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != CONTENT_TYPE:
        raise RequestError(415, f"content type is {_shown(media_type)}; expected {CONTENT_TYPE}")
    try:
        return Invocation.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        raise RequestError(400, f"body is not JSON: {first['ctx']['error']}")
    field = "".join(f"[{part}]" if isinstance(part, int) else part for part in first["loc"]) or "body"
    if first["type"] == "missing":
        raise RequestError(422, f"{field} is missing; expected a list of user ids")
    if first["type"] == "extra_forbidden":
        accepted = ", ".join(Invocation.model_fields)
        raise RequestError(422, f"{_shown(field)} is not a field; accepted are {accepted}")
    reason = first["msg"][0].lower() + first["msg"][1:]
    raise RequestError(422, f"{field} is {_shown(first['input'])}: {reason}")


def _shown(value: Any) -> str:
    """A value in a message, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
