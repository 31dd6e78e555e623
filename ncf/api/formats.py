"""How requests and answers travel: JSON, JSON Lines and CSV, as SageMaker's endpoints and batch transforms send them.

https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from ncf.api.answers import AnyList, Failure, OneList, Recommendation, items_of
from ncf.api.requests import AnyForm, ForCandidates, Invocation, RequestError, parse, validated

JSON = "application/json"
LINES = "application/jsonlines"
CSV = "text/csv"
MEDIA_TYPES = (JSON, LINES, CSV)
_OTHER_NAMES = {"application/x-ndjson": LINES, "application/x-jsonlines": LINES, "application/jsonl": LINES}
_WILDCARDS = {"*/*", "application/*", "text/*"}
_CHARSETS = ("utf-8", "utf8", "us-ascii")


def media_type(content_type: str) -> str:
    """The media type of a request's body.

    Raises:
        RequestError: 415 for another one, or another charset than UTF-8.
    """
    name, *parameters = (part.strip().lower() for part in content_type.split(";"))
    found = _OTHER_NAMES.get(name, name)
    if found not in MEDIA_TYPES:
        raise RequestError(415, f"content type is {name[:60]!r}; expected {', '.join(MEDIA_TYPES)}")
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in _CHARSETS:
            raise RequestError(415, f"charset is {value.strip()[:60]!r}; expected utf-8")
    return found


def accepted(accept: str, given: str) -> str:
    """The media type of the answer: the first that the client accepts, or as the request where it leaves it open.

    Raises:
        RequestError: 406 if it accepts none that there is.
    """
    ranked = []
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            ranked.append((-float(quality), _OTHER_NAMES.get(name, name)))
        except ValueError:
            raise RequestError(406, f"accept has a quality of {quality[:20]!r}; expected 0 to 1") from None
    names = [name for quality, name in sorted(ranked, key=lambda pair: pair[0]) if quality < 0]
    for name in names:
        if name in MEDIA_TYPES:
            return name
        if name == "*/*" or (name in _WILDCARDS and given.startswith(name[:-1])):
            return given
        if name in _WILDCARDS:
            return JSON if name == "application/*" else CSV
    if not accept.strip():
        return given
    raise RequestError(406, f"accept is {accept[:60]!r}; there is {', '.join(MEDIA_TYPES)}")


def requests_in(body: bytes, media: str) -> Iterator[AnyForm]:
    """The requests in a body, one after the other.

    Args:
        body: JSON holds one; JSON Lines one a line; CSV, without a header, one a row: a user, whose ten best
            items are wanted, or a user and an item to score.
        media: its media type.

    Raises:
        RequestError: 400 or 422, that names the line.
    """
    if media == JSON:
        yield parse(body)
        return
    lines = _json_lines(body) if media == LINES else _csv_rows(body)
    number = 0
    for number, read in lines:
        try:
            yield read()
        except RequestError as error:
            raise RequestError(error.status, f"line {number}: {error}") from None
    if not number:
        raise RequestError(400, "body holds no request")


def _json_lines(body: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            yield number, lambda line=line: parse(line)


def _csv_rows(body: bytes) -> Iterator[tuple[int, Any]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"body is not UTF-8: {error.reason} at byte {error.start}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns = 0
    try:
        for row in reader:
            if row:
                columns = columns or len(row)
                yield reader.line_num, lambda row=row, columns=columns: _of_row(row, columns)
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
    """Puts answers into bytes, one after the other.

    JSON: the answer of a single request, or an array of them. JSON Lines: an answer a line. CSV: for items that
    were ranked their ids, best first, and for items that were scored the scores, a row for each user.

    Args:
        media: media type of what is written.
        single: whether there is one answer only, to a request in JSON.
    """

    def __init__(self, media: str, single: bool) -> None:
        self._media, self._single = media, single
        self._written = 0

    def write(self, form: AnyForm, answer: OneList | Failure) -> bytes:
        """The next answer, or why there is none."""
        if self._media == CSV:
            return b"\n" if "error" in answer else _as_csv(form, answer)
        return self._before() + _as_json(answer) + self._after()

    def write_each(
        self, form: Invocation, version: str, found: Iterable[Recommendation], unknown: list[str]
    ) -> Iterator[bytes]:
        """The next answer, :class:`~ncf.api.answers.Recommendations`, a user at a time: all is never held."""
        if self._media == CSV:
            yield from (_as_csv(form, recommendation) for recommendation in found)
            return
        yield self._before() + b'{"model_version":' + _as_json(version) + b',"recommendations":['
        for number, recommendation in enumerate(found):
            yield (b"," if number else b"") + _as_json(recommendation)
        yield b"]" + (b',"unknown":' + _as_json(unknown) if unknown else b"") + b"}" + self._after()

    def _before(self) -> bytes:
        self._written += 1
        if self._media == LINES or self._single:
            return b""
        return b"," if self._written > 1 else b"["

    def _after(self) -> bytes:
        return b"\n" if self._media == LINES else b""

    def end(self) -> bytes:
        """What comes behind the last answer."""
        return b"]" if self._media == JSON and not self._single else b""


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
