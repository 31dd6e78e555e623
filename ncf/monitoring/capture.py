"""Captured requests and answers of an endpoint, as SageMaker's data capture writes them.

A file holds a JSON object a line. https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import from_json

from ncf.api.formats import media_of, read_requests
from ncf.api.media_types import JSON, media_type
from ncf.api.requests import AnyForm, RequestError

Fault = Literal["long_line", "not_json", "no_time", "no_request", "no_answer", "content_type", "request", "answer"]
"""Reason for which a record cannot be read."""
FAULTS: dict[Fault, str] = {
    "long_line": "line too long",
    "not_json": "not a JSON object",
    "no_time": "no time of the request",
    "no_request": "request not captured",
    "no_answer": "answer not captured",
    "content_type": "content type of another kind",
    "request": "request not as the endpoint accepts it",
    "answer": "answer not as the endpoint gives it",
}
"""Each reason, in words."""

_BASE64 = "BASE64"


class RecordError(Exception):
    """A record cannot be read.

    Args:
        fault: the reason.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(FAULTS[fault])
        self.fault = fault


@dataclass(frozen=True)
class Record:
    """A request and its answer.

    Attributes:
        time: of the request, seconds since 1970 UTC.
        requests: of the body, in order.
        answer: body of the answer.
        media: media type of the answer.
        single: whether the body was one request in JSON, so that JSON answers it with an object.
    """

    time: float
    requests: list[AnyForm]
    answer: bytes
    media: str
    single: bool


def time_of(content: Any) -> float:
    """Time of a captured record, seconds since 1970 UTC.

    Raises:
        RecordError: if it has none.
    """
    try:
        moment = datetime.fromisoformat(content["eventMetadata"]["inferenceTime"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (LookupError, TypeError, ValueError, OverflowError):
        raise RecordError("no_time") from None


def parsed(line: bytes) -> Any:
    """A line as JSON.

    Raises:
        RecordError: if it is none.
    """
    try:
        content = from_json(line)
    except ValueError:
        raise RecordError("not_json") from None
    if not isinstance(content, dict):
        raise RecordError("not_json")
    return content


def record_of(content: Any, time: float) -> Record:
    """A captured record.

    Args:
        content: of the line.
        time: of the request, seconds since 1970 UTC.

    Raises:
        RecordError: with the reason for which it cannot be read.
    """
    body, given = _side(content, "endpointInput", "no_request")
    answer, media = _side(content, "endpointOutput", "no_answer")
    found = media_of(body, given)
    try:
        requests = read_requests(body, found)
    except RequestError:
        raise RecordError("request") from None
    return Record(time, requests, answer, media, single=found == JSON)


def _side(content: Any, name: str, missing: Fault) -> tuple[bytes, str]:
    """Body and media type of a request or an answer."""
    try:
        side = content["captureData"][name]
        data, encoding, kind = side["data"], side["encoding"], side["observedContentType"]
    except (LookupError, TypeError):
        raise RecordError(missing) from None
    if not (isinstance(data, str) and isinstance(encoding, str) and isinstance(kind, str)):
        raise RecordError(missing)
    try:
        media = media_type(kind)
    except RequestError:
        raise RecordError("content_type") from None
    try:
        return (base64.b64decode(data, validate=True) if encoding.upper() == _BASE64 else data.encode()), media
    except (binascii.Error, ValueError):
        raise RecordError("request" if missing == "no_request" else "answer") from None
