"""Bodies of requests and answers in JSON, JSON Lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pydantic_core import from_json

from ncf.api import limits
from ncf.api.answers import AnyList, Failure, OneList, Recommendation, items_of
from ncf.api.media_types import CSV, JSON, LINES
from ncf.api.requests import AnyForm, ForCandidates, Invocation, RequestError, parse, validated

_DIVIDE = "send several requests (in a batch transform: BatchStrategy SingleRecord)"
_Read = Callable[[], AnyForm]


def media_of(body: bytes, media: str) -> str:
    """Media type of a body: JSON Lines where it holds several lines of JSON, but is sent as JSON.

    A batch transform job with ``SplitType`` ``Line`` sends as many lines as fit, under the content type of the job.

    Args:
        body: of the request.
        media: media type by the request's header.
    """
    if media != JSON:
        return media
    first, _, others = body.removeprefix(BOM_UTF8).strip().partition(b"\n")
    if not others:
        return JSON
    try:
        return LINES if isinstance(from_json(first), dict) else JSON
    except ValueError:
        return JSON


def read_requests(body: bytes, media: str) -> list[AnyForm]:
    """The requests in a body, in order.

    Args:
        body: one request in JSON; one a line in JSON Lines; one a row in CSV without a header. A row is a user, to be
            answered with the ten best items, or a user and an item, to be answered with the score.
        media: media type of the body, of which a byte order mark is ignored.

    Raises:
        RequestError: 400 or 422 that names the line at fault; 413 if the body has more than ``MAX_RECORDS`` records,
            or they ask for more than ``MAX_ITEMS`` items in all.
    """
    body = body.removeprefix(BOM_UTF8)
    if media == JSON:
        return [_one_request(body)]
    requests: list[AnyForm] = []
    items = 0
    for number, read in _json_lines(body) if media == LINES else _csv_rows(body):
        if len(requests) == limits.MAX_RECORDS:
            raise RequestError(413, f"body has more than {limits.MAX_RECORDS} records, the limit; {_DIVIDE}")
        try:
            requests.append(read())
        except RequestError as error:
            raise RequestError(error.status, f"line {number}: {error}") from None
        items += requests[-1].items_requested
        if items > limits.MAX_ITEMS:
            message = f"line {number}: the records up to here ask for {items} items; expected at most"
            raise RequestError(413, f"{message} {limits.MAX_ITEMS} in one request; {_DIVIDE}")
    if not requests:
        raise RequestError(400, "body holds no request")
    return requests


def _one_request(body: bytes) -> AnyForm:
    try:
        return parse(body)
    except RequestError as error:
        if body.lstrip()[:1] != b"[" and "trailing characters" not in str(error):
            raise
        raise RequestError(error.status, f"{error}; several requests are sent one a line, as {LINES}") from None


def _json_lines(body: bytes) -> Iterator[tuple[int, _Read]]:
    for number, line in enumerate(io.BytesIO(body), 1):
        if line.strip():
            yield number, partial(parse, line.rstrip(b"\r\n"))


def _csv_rows(body: bytes) -> Iterator[tuple[int, _Read]]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(400, f"body is not UTF-8: {error.reason} at byte {error.start}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns = 0
    try:
        for row in reader:
            if row:
                columns = columns or len(row)
                yield reader.line_num, partial(_of_row, row, columns)
    except csv.Error as error:
        raise RequestError(400, f"line {reader.line_num}: body is not CSV: {error}") from None


def _of_row(row: list[str], columns: int) -> AnyForm:
    if len(row) != columns or columns > 2:
        expected = "1 (user) or 2 (user, item)" if columns > 2 else f"{columns}, as in the first row"
        raise RequestError(422, f"row has {len(row)} columns; expected {expected}")
    if columns == 1:
        return validated(Invocation, {"users": row})
    return validated(ForCandidates, {"user": row[0], "items": row[1:]})


class Writer:
    """Body of an answer.

    JSON is the answer to one request, or an array of answers. JSON Lines is one answer a line. CSV is one row for each
    list of items: scores for the form with candidates, item ids for the other forms.

    Args:
        media: media type of the body.
        single: whether the body answers one request in JSON.
    """

    def __init__(self, media: str, single: bool) -> None:
        self._media, self._single = media, single
        self._content = bytearray()

    def add(self, form: AnyForm, answer: OneList | Failure) -> None:
        """Append the answer to one request, or the reason for which there is none."""
        if self._media == CSV:
            self._content += b"\n" if "error" in answer else _as_csv(form, answer)
            return
        self._content += self._before() + _as_json(answer) + self._after()

    def add_recommendations(
        self, form: Invocation, version: str, found: Iterable[Recommendation], unknown: list[str]
    ) -> None:
        """Append :class:`~ncf.api.answers.Recommendations`.

        Each user's list is encoded by itself: the interpreter's lock is held for one list, not for the whole answer.
        """
        if self._media == CSV:
            for recommendation in found:
                self._content += _as_csv(form, recommendation)
            return
        self._content += self._before() + b'{"model_version":' + _as_json(version) + b',"recommendations":['
        for number, recommendation in enumerate(found):
            self._content += (b"," if number else b"") + _as_json(recommendation)
        self._content += b"]" + (b',"unknown":' + _as_json(unknown) if unknown else b"") + b"}" + self._after()

    def content(self) -> bytes:
        """The whole body. It ends with a line feed, so that answers of a batch transform job are lines when joined."""
        if self._media != JSON:
            return bytes(self._content)
        return bytes(self._content) + (b"\n" if self._single else b"]\n")

    def _before(self) -> bytes:
        if self._media == LINES or self._single:
            return b""
        return b"," if self._content else b"["

    def _after(self) -> bytes:
        return b"\n" if self._media == LINES else b""


def _as_json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _as_csv(form: AnyForm, answer: AnyList) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if isinstance(form, ForCandidates):
        writer.writerow(["" if item["score"] is None else item["score"] for item in items_of(answer)])
    else:
        writer.writerow([item["item"] for item in items_of(answer)])
    return text.getvalue().encode()
