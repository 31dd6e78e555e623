"""Lists of items in captured answers, each with the request that it answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from ncf.api.media_types import CSV, LINES
from ncf.api.requests import AnyForm, ForCandidates, ForHistory, ForItem, ForPairs, Invocation
from ncf.monitoring.capture import Record, RecordError

FAILED = "failed"
"""Source of a list that is missing, as the request had no answer."""
_SOURCES = ("model", "history", "popular")
_MAX_VERSION = 40


@dataclass(frozen=True)
class Shown:
    """An answer for one user, or for one request without a user.

    Attributes:
        form: label of the form of the request.
        user: raw id; None for a request without one.
        source: of the list, as in :data:`ncf.api.answers.Source`; '' if the answer does not say; ``FAILED`` without an
            answer.
        items: raw ids, best first. Empty for the scores of given items, which are no recommendation.
        requested: raw ids of the items in the request, for which the user or the caller stands.
        version: of the model that answered; '' if the answer does not say.
    """

    form: str
    user: str | None
    source: str
    items: Sequence[str]
    requested: Sequence[str] = ()
    version: str = ""


def shown_by(record: Record) -> Iterator[Shown]:
    """The lists of a record, in order.

    Raises:
        RecordError: if the answer does not fit the request.
    """
    if record.media == CSV:
        yield from _of_csv(record)
        return
    answers = _answers(record)
    if len(answers) != len(record.requests):
        raise RecordError("answer")
    for form, answer in zip(record.requests, answers, strict=True):
        yield from _of_object(form, answer)


def _answers(record: Record) -> list[Any]:
    """The JSON object that answers each request."""
    try:
        if record.media == LINES:
            return [from_json(line) for line in record.answer.splitlines() if line.strip()]
        content = from_json(record.answer)
    except ValueError:
        raise RecordError("answer") from None
    if record.single:
        return [content]
    return content if isinstance(content, list) else [content]


def _of_object(form: AnyForm, answer: Any) -> Iterator[Shown]:
    if not isinstance(answer, dict):
        raise RecordError("answer")
    user, requested, version = user_of(form), requested_by(form), str(answer.get("model_version", ""))[:_MAX_VERSION]
    if isinstance(form, Invocation):
        if "error" in answer:
            yield from (Shown(form.label, name, FAILED, ()) for name in form.users)
            return
        found = answer.get("recommendations")
        if not isinstance(found, list) or len(found) != len(form.users):
            raise RecordError("answer")
        for name, entry in zip(form.users, found, strict=True):
            if not isinstance(entry, dict):
                raise RecordError("answer")
            yield Shown(form.label, name, _source(entry), _items(entry.get("items")), version=version)
        return
    if "error" in answer:
        yield Shown(form.label, user, FAILED, (), requested)
        return
    items = _items(answer.get("similar" if isinstance(form, ForItem) else "items"))
    source = "model" if isinstance(form, ForItem) else _source(answer)
    yield Shown(form.label, user, source, () if isinstance(form, ForCandidates) else items, requested, version)


def _of_csv(record: Record) -> Iterator[Shown]:
    """Rows of item ids, one for each list. An answer in CSV names no source."""
    try:
        rows = list(csv.reader(io.StringIO(record.answer.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise RecordError("answer") from None
    lists = [(form, name) for form in record.requests for name in _names(form)]
    if len(rows) != len(lists):
        raise RecordError("answer")
    for (form, name), row in zip(lists, rows, strict=True):
        is_missing = not row and isinstance(form, ForItem | ForHistory)  # the other forms have no reason to fail
        items = () if isinstance(form, ForCandidates) else row
        yield Shown(form.label, name, FAILED if is_missing else "", items, requested_by(form))


def _names(form: AnyForm) -> Sequence[str | None]:
    return form.users if isinstance(form, Invocation) else [user_of(form)]


def user_of(form: AnyForm) -> str | None:
    """The user of a request for one list; None if it names none, or several."""
    if isinstance(form, ForCandidates | ForHistory):
        return form.user
    return form.user[0] if isinstance(form, ForPairs) else None


def requested_by(form: AnyForm) -> Sequence[str]:
    """The items that a request is about."""
    if isinstance(form, ForCandidates):
        return form.items
    if isinstance(form, ForPairs):
        return form.item
    if isinstance(form, ForHistory):
        return form.history
    return [form.item] if isinstance(form, ForItem) else ()


def _source(answer: dict[str, Any]) -> str:
    source = answer.get("source")
    if source not in _SOURCES:
        raise RecordError("answer")
    return str(source)


def _items(content: Any) -> list[str]:
    if not isinstance(content, list):
        raise RecordError("answer")
    items = [entry.get("item") if isinstance(entry, dict) else None for entry in content]
    if not all(isinstance(item, str) for item in items):
        raise RecordError("answer")
    return items  # type: ignore[return-value]
