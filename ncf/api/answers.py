"""What POST /invocations answers, a type for each form of request."""

from __future__ import annotations

from typing import Literal, NotRequired, final

from typing_extensions import TypedDict  # pydantic reads this one before Python 3.12

Source = Literal["model", "history", "popular"]
"""What an answer was made from: the model's user, items that a stranger has liked, or popularity alone.

Scores are logits where it is ``model`` or ``history``, and numbers of interactions where it is ``popular``.
"""


class Item(TypedDict):
    """An item: its raw id, its title where one is known, and what it was ranked by; null for an unknown one."""

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
    """A recommendation for each user; ``unknown`` are allowed items that the model does not know."""

    model_version: str
    recommendations: list[Recommendation]
    unknown: NotRequired[list[str]]


@final
class Scores(TypedDict):
    """The items that were asked for, in the order of the request."""

    model_version: str
    user: str
    source: Source
    items: list[Item]


@final
class Ranking(TypedDict):
    """The best items for pairs or a history; ``unknown`` are items named that the model does not know."""

    model_version: str
    user: NotRequired[str]
    source: Source
    items: list[Item]
    unknown: NotRequired[list[str]]


@final
class SimilarItems(TypedDict):
    """The items most similar to one; scores are cosines."""

    model_version: str
    item: str
    similar: list[Item]


OneList = Scores | Ranking | SimilarItems
"""An answer that holds a single list of items."""
AnyList = Scores | Ranking | SimilarItems | Recommendation
"""What holds a list of items."""


@final
class Failure(TypedDict):
    """Why there is no answer."""

    error: str


def items_of(answer: AnyList) -> list[Item]:
    return answer["similar"] if "similar" in answer else answer["items"]


def source_of(answer: AnyList) -> Source:
    """What the items were made from; similar items are the model's."""
    return "model" if "similar" in answer else answer["source"]
