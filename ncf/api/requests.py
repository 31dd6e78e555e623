"""Requests of POST /invocations: the five forms, their validation and the errors that name what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError, from_json

from ncf.api.error_messages import message_of, shown
from ncf.api.limits import MAX_CANDIDATES, MAX_HISTORY, MAX_K, MAX_USERS
from ncf.artifacts.ids import MAX_ID_LENGTH, canonical_id

CONTENT_TYPE = "application/json"
DEFAULT_K = 10
"""Items in a list where the request does not say."""
_MAX_INTEGER = 1 << 63
_MAX_EXACT = 1 << 53
"""Lowest whole number that a float may stand for beside another one."""
_MAX_KEYS = 100


class RequestError(Exception):
    """An invalid request.

    Args:
        status: HTTP status, 4xx.
        message: the field, its value and what is accepted.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _canonical(value: object) -> object:
    """The id that a text or a whole number stands for. Other values are left to the type's own check."""
    if type(value) is float and value.is_integer() and abs(value) < _MAX_EXACT:
        value = int(value)
    if type(value) is int and abs(value) < _MAX_INTEGER:
        value = str(value)
    if not isinstance(value, str) or not value:
        return value
    if not (found := canonical_id(value)):
        raise PydanticCustomError("missing_id", "stands for a missing value")
    return found


def _description(value: str) -> Any:
    return Field(description=value)


RawId = Annotated[
    str,
    Field(min_length=1, max_length=MAX_ID_LENGTH),
    BeforeValidator(_canonical),
]
"""A raw id, by the rule for ids in interactions: :func:`ncf.artifacts.ids.canonical_id`."""
Filter = Annotated[list[RawId] | None, Field(max_length=MAX_CANDIDATES), FailFast()]
Candidates = Annotated[list[RawId], Field(min_length=1, max_length=MAX_CANDIDATES), FailFast()]
K = Annotated[int, Field(ge=1, le=MAX_K, description="Number of items; fewer are returned if no more are left")]
WithTitles = Annotated[bool, _description("Whether to return titles, where they are known")]
Allow = Annotated[Filter, _description("Items to choose from; null: the whole catalogue. Unknown items are ignored")]
Deny = Annotated[Filter, _description("Items to leave out. Unknown items are ignored")]


class Form(BaseModel):
    """One form of request.

    Attributes:
        label: name of the form in logs and metrics.
        key: field that distinguishes the form from the others.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    label: ClassVar[str]
    key: ClassVar[str]

    @property
    def items_requested(self) -> int:
        """Number of items in the answer at most: ``k``, unless the form says otherwise."""
        return int(getattr(self, "k", DEFAULT_K))


class Invocation(Form):
    """The best items of each user."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"users": ["u42", "u7"], "k": 10}]})
    label, key = "users", "users"

    users: Annotated[
        list[RawId],
        Field(min_length=1, max_length=MAX_USERS, description="Raw ids. Unknown users get popular items"),
        FailFast(),
    ]
    k: K = DEFAULT_K
    exclude_seen: Annotated[bool, _description("Whether to leave out items that the user has interacted with")] = True
    allow: Allow = None
    deny: Deny = None
    with_titles: WithTitles = True

    @property
    def items_requested(self) -> int:
        return len(self.users) * self.k


class ForCandidates(Form):
    """The score of each given item for one user, in the order of the request."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user": "u42", "items": ["i1", "i2", "i3"]}]})
    label, key = "candidates", "items"

    user: RawId
    items: Annotated[Candidates, _description("Raw ids, each once. The score of an unknown item is null")]
    with_titles: WithTitles = True

    @property
    def items_requested(self) -> int:
        return len(self.items)

    @model_validator(mode="after")
    def _items_differ(self) -> ForCandidates:
        _check_repeats("items", self.items)
        return self


class ForPairs(Form):
    """The ten best of the given items for one user; user and item are two lists of the same length."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": ["u42", "u42", "u42"], "item": ["i1", "i2", "i3"]}]}
    )
    label, key = "pairs", "item"

    user: Annotated[Candidates, _description("The same raw id, once for each item")]
    item: Annotated[Candidates, _description("Raw ids, not indices, each once. Unknown items are ignored and listed")]

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
    """The items most similar to one item."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item": "i1", "k": 10}]})
    label, key = "similar", "item"

    item: RawId
    k: K = DEFAULT_K
    with_titles: WithTitles = True


class ForHistory(Form):
    """The best items of a user by a history of items: of an unknown user, or of a known one since training."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"history": ["i1", "i2"], "k": 10}, {"user": "u42", "history": ["i3"]}]}
    )
    label, key = "history", "history"

    history: Annotated[
        list[RawId],
        Field(
            min_length=1,
            max_length=MAX_HISTORY,
            description="Raw ids, the oldest first. They are not recommended again. Unknown items are ignored and "
            "listed",
        ),
        FailFast(),
    ]
    user: Annotated[
        RawId | None, _description("Raw id of a user whose known items come before the history; unknown: as null")
    ] = None
    k: K = DEFAULT_K
    allow: Allow = None
    deny: Deny = None
    with_titles: WithTitles = True


FormOfOneList = ForCandidates | ForPairs | ForItem | ForHistory
AnyForm = Invocation | FormOfOneList
FORMS: tuple[type[AnyForm], ...] = (Invocation, ForCandidates, ForPairs, ForItem, ForHistory)
_KEYS = tuple(dict.fromkeys(form.key for form in FORMS))


def parse(body: bytes) -> AnyForm:
    """One request, read from JSON.

    Args:
        body: JSON in UTF-8.

    Raises:
        RequestError: 400 if the body is not JSON, 422 if a field or a value is not accepted.
    """
    try:
        content = from_json(body)
    except ValueError as error:
        raise RequestError(400, f"body is not JSON: {error}") from None
    if isinstance(content, dict) and len(content) > _MAX_KEYS:  # most of them are unknown: no more work for it
        raise RequestError(422, f"body has {len(content)} keys; expected an object with one of {', '.join(_KEYS)}")
    json.loads(body, object_pairs_hook=_check_keys, parse_int=str, parse_float=str)
    form = _form_of(content)
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(422, message_of(form, _KEYS, content, error.errors(include_url=False)[0])) from None


def validated(form: type[AnyForm], values: dict[str, Any]) -> AnyForm:
    """One request, from values that were not read from JSON.

    Raises:
        RequestError: 422, as :func:`parse` does.
    """
    try:
        return form.model_validate(values)
    except ValidationError as error:
        raise RequestError(422, message_of(form, _KEYS, values, error.errors(include_url=False)[0])) from None


def _check_keys(pairs: Sequence[tuple[str, Any]]) -> None:
    """Refuse a repeated key: JSON parsers disagree on which of its values counts (RFC 8259, 4)."""
    given: set[str] = set()
    for key, _ in pairs:
        if key in given:
            raise RequestError(422, f"{shown(key)} is given more than once; expected each key once")
        given.add(key)


def _form_of(content: object) -> type[AnyForm]:
    """The form that a request's fields belong to.

    Raises:
        RequestError: 422 if the fields belong to several forms.
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
    return forms[0] if "user" in content else forms[-1]  # two forms have the key `item`, one of them with `user`


def _check_repeats(field: str, items: list[str]) -> None:
    if len(set(items)) == len(items):
        return
    first_index: dict[str, int] = {}
    for index, item in enumerate(items):
        if (first := first_index.setdefault(item, index)) != index:
            found = {"field": field, "index": index, "item": shown(item), "first": first}
            again = "{field}[{index}] is {item} again, as {field}[{first}] is; expected each id once"
            raise PydanticCustomError("repeat", again, found)
