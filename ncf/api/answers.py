"""Answers of POST /invocations: one type for each form of request."""

from __future__ import annotations

from typing import Literal, NotRequired, final

from typing_extensions import TypedDict  # pydantic reads this one before Python 3.12

Source = Literal["model", "history", "popular"]
"""Source of a list: the model's embedding of the user, the history of an unknown user, or popularity.

Scores are logits for ``model`` and ``history``, and numbers of interactions for ``popular``.
"""


class Item(TypedDict):
    """An item: its raw id, its title if known, and its score. The score of an unknown item is null."""

    item: str
    title: NotRequired[str]
    score: float | None


@final
class Recommendation(TypedDict):
    """The items for one user, best first."""

    user: str
    source: Source
    items: list[Item]


@final
class Recommendations(TypedDict):
    """A recommendation for each user. ``unknown`` lists items of ``allow`` that the model does not know."""

    model_version: str
    recommendations: list[Recommendation]
    unknown: NotRequired[list[str]]


@final
class Scores(TypedDict):
    """Scores of the requested items, in the order of the request."""

    model_version: str
    user: str
    source: Source
    items: list[Item]


@final
class Ranking(TypedDict):
    """The best items for pairs or a history. ``unknown`` lists items of the request that the model does not know."""

    model_version: str
    user: NotRequired[str]
    source: Source
    items: list[Item]
    unknown: NotRequired[list[str]]


@final
class SimilarItems(TypedDict):
    """The items most similar to one item. Scores are cosines."""

    model_version: str
    item: str
    similar: list[Item]


OneList = Scores | Ranking | SimilarItems
"""An answer with one list of items."""
AnyList = Scores | Ranking | SimilarItems | Recommendation
"""An object with one list of items."""


@final
class Failure(TypedDict):
    """The reason for which a record has no answer."""

    error: str


def items_of(answer: AnyList) -> list[Item]:
    """The list of items of an answer."""
    return answer["similar"] if "similar" in answer else answer["items"]


def source_of(answer: AnyList) -> Source:
    """The source of a list of items; similar items come from the model."""
    return "model" if "similar" in answer else answer["source"]
