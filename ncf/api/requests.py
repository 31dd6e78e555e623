"""What POST /invocations accepts, and how it says what is wrong with a request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError, from_json

from ncf.api.explanation import explain, shown

MAX_K = 1000
MAX_USERS = 100
MAX_CANDIDATES = 10_000
"""Items to score, and items that ``allow`` and ``deny`` may name."""
MAX_HISTORY = 1000
MAX_ID_LENGTH = 512
"""Characters of a raw id; lists of users for batches have the same limit."""
MAX_BODY_BYTES = 1 << 20
CONTENT_TYPE = "application/json"
_MAX_INTEGER = 1 << 63


class RequestError(Exception):
    """A request at fault: an HTTP status of 4xx and a message that names field, value and limit."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _integer_as_text(value: object) -> object:
    return str(value) if type(value) is int and abs(value) < _MAX_INTEGER else value


def _description(value: str) -> Any:
    return Field(description=value)


RawId = Annotated[
    str,
    Field(min_length=1, max_length=MAX_ID_LENGTH),
    BeforeValidator(_integer_as_text),
]
"""An id as the interactions have it; an integer counts as its decimal digits."""
Filter = Annotated[list[RawId] | None, Field(max_length=MAX_CANDIDATES), FailFast()]
Candidates = Annotated[list[RawId], Field(min_length=1, max_length=MAX_CANDIDATES), FailFast()]
K = Annotated[int, Field(ge=1, le=MAX_K, description="Items wanted; fewer come where no more are left")]
WithTitles = Annotated[bool, _description("Whether items come with their titles, where these are known")]
Allow = Annotated[Filter, _description("Items to choose from; none: the whole catalogue. Unknown ones are ignored")]
Deny = Annotated[Filter, _description("Items never to recommend. Unknown ones are ignored")]


class Form(BaseModel):
    """One of the forms that a request may have.

    Attributes:
        label: what logs and metrics call it.
        key: the field that tells it from the other forms.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    label: ClassVar[str]
    key: ClassVar[str]


class Invocation(Form):
    """The best items of each user."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"users": ["u42", "u7"], "k": 10}]})
    label, key = "users", "users"

    users: Annotated[
        list[RawId],
        Field(min_length=1, max_length=MAX_USERS, description="Raw ids; a stranger gets popular items"),
        FailFast(),
    ]
    k: K = 10
    exclude_seen: Annotated[bool, _description("Whether to leave out what a user has interacted with")] = True
    allow: Allow = None
    deny: Deny = None
    with_titles: WithTitles = True


class ForCandidates(Form):
    """The score of each given item for one user, in the order of the request."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user": "u42", "items": ["i1", "i2", "i3"]}]})
    label, key = "candidates", "items"

    user: RawId
    items: Annotated[Candidates, _description("Raw ids, each once; one that the model does not know scores null")]
    with_titles: WithTitles = True

    @model_validator(mode="after")
    def _items_differ(self) -> ForCandidates:
        _check_repeats("items", self.items)
        return self


class ForPairs(Form):
    """User and item as two lists of one length: the ten best of these items for the one user named throughout."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": ["u42", "u42", "u42"], "item": ["i1", "i2", "i3"]}]}
    )
    label, key = "pairs", "item"

    user: Annotated[Candidates, _description("The same raw id as many times as there are items")]
    item: Annotated[Candidates, _description("Raw ids, not indices, each once; unknown ones are ignored, and told")]

    @model_validator(mode="after")
    def _one_user_and_items_differ(self) -> ForPairs:
        if len(self.user) != len(self.item):
            sizes = {"users": len(self.user), "items": len(self.item)}
            raise PydanticCustomError(
                "pairs", "user has {users} and item {items} entries; expected as many of both", sizes
            )
        if other := next((user for user in self.user if user != self.user[0]), None):
            users = {"one": shown(self.user[0]), "other": shown(other)}
            raise PydanticCustomError("pairs", "user names {one} and {other}; expected one throughout", users)
        _check_repeats("item", self.item)
        return self


class ForItem(Form):
    """The items that are most similar to one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item": "i1", "k": 10}]})
    label, key = "similar", "item"

    item: RawId
    k: K = 10
    with_titles: WithTitles = True


class ForHistory(Form):
    """The best items of somebody whom the model does not know, represented by items that they have liked."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"history": ["i1", "i2"], "k": 10}]})
    label, key = "history", "history"

    history: Annotated[
        list[RawId],
        Field(
            min_length=1,
            max_length=MAX_HISTORY,
            description="Raw ids, never recommended again; repeats count once, unknown ones are ignored, and told",
        ),
        FailFast(),
    ]
    k: K = 10
    allow: Allow = None
    deny: Deny = None
    with_titles: WithTitles = True


FormOfOneList = ForCandidates | ForPairs | ForItem | ForHistory
AnyForm = Invocation | FormOfOneList
FORMS: tuple[type[AnyForm], ...] = (Invocation, ForCandidates, ForPairs, ForItem, ForHistory)
_KEYS = tuple(dict.fromkeys(form.key for form in FORMS))


def parse(body: bytes) -> AnyForm:
    """Read one request.

    Args:
        body: JSON in UTF-8.

    Raises:
        RequestError: 400 for what is not JSON, 422 for what is not accepted.
    """
    try:
        content = from_json(body)
    except ValueError as error:
        raise RequestError(400, f"body is not JSON: {error}") from None
    json.loads(body, object_pairs_hook=_check_keys, parse_int=str, parse_float=str)
    form = _form_of(content)
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(422, explain(form, _KEYS, content, error.errors(include_url=False)[0])) from None


def validated(form: type[AnyForm], values: dict[str, Any]) -> AnyForm:
    """A form from values that did not come as JSON.

    Raises:
        RequestError: 422, as :func:`parse` does.
    """
    try:
        return form.model_validate(values)
    except ValidationError as error:
        raise RequestError(422, explain(form, _KEYS, values, error.errors(include_url=False)[0])) from None


def _check_keys(pairs: Sequence[tuple[str, Any]]) -> None:
    """Readers of JSON disagree on which of a repeated key's values counts (RFC 8259, 4), so that none does here."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        repeated = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise RequestError(422, f"{shown(repeated)} is given more than once; expected each key once")


def _form_of(content: object) -> type[AnyForm]:
    """The form whose fields a request has.

    Raises:
        RequestError: if it has those of several forms.
    """
    if not isinstance(content, dict):
        return Invocation
    given = [key for key in _KEYS if key in content]
    if len(given) > 1:
        raise RequestError(422, f"{given[0]!r} and {given[1]!r} belong to different forms; send one form a request")
    if not given:
        if "user" not in content:
            return Invocation
        return ForPairs if isinstance(content["user"], list) else ForCandidates
    forms = [form for form in FORMS if form.key == given[0]]
    return forms[0] if "user" in content else forms[-1]  # `item` alone, or with `user`


def _check_repeats(field: str, items: list[str]) -> None:
    if len(set(items)) == len(items):
        return
    places: dict[str, int] = {}
    for place, item in enumerate(items):
        if (first := places.setdefault(item, place)) != place:
            found = {"field": field, "place": place, "item": shown(item), "first": first}
            again = "{field}[{place}] is {item} again, as {field}[{first}] is; expected each id once"
            raise PydanticCustomError("repeat", again, found)
