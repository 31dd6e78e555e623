"""``golden.json``: requests to the endpoint and the answers that the network which was trained gives to them.

What serves scores in numpy rather than in torch, and takes traffic only after it has answered these right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ncf.errors import InputError

FILE_NAME = "golden.json"
K = 10
"""Items expected for each request, of a catalogue that has so many."""

# float32 adds up in another order in numpy than in torch, and on another machine; logits are rounded to 1e-6 when
# they are served. Errors of both are some 1e-5 of a logit; what is wrong by 1e-3 does not come from them.
_TOLERANCE = {"rel_tol": 1e-3, "abs_tol": 1e-3}
_MAX_REQUESTS = 100
_SHOWN_CHARACTERS = 60


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Request(_Part):
    """The body of a request for one user; whether the endpoint accepts the values is for the endpoint to say."""

    users: tuple[str]
    k: int
    exclude_seen: bool


class ExpectedItem(_Part):
    """The raw id of an item and its logit."""

    item: str
    score: FiniteFloat


class GoldenRequest(_Part):
    """A request and its right answer: the items, best first."""

    request: Request
    items: list[ExpectedItem] = Field(min_length=1)

    @property
    def user(self) -> str:
        return self.request.users[0]

    def compare(self, found: Sequence[tuple[str, float]]) -> float:
        """Compare an answer with the right one. Items whose scores are as good as equal may swap places.

        Args:
            found: raw id and logit of each item that came.

        Returns:
            The largest difference between a score and the expected one.

        Raises:
            InputError: that names the user, the item, the score expected and the score found.
        """
        asked = f"{FILE_NAME}: user {_shown(self.user)}"
        if len(found) != len(self.items):
            raise InputError(f"{asked}: {len(self.items)} items expected, {len(found)} found")
        scores = dict(found)
        expected = sorted(self.items, key=lambda item: -item.score)
        ranked = sorted(found, key=lambda pair: -pair[1])
        difference = 0.0
        for item in expected:
            if item.item in scores:
                score = scores[item.item]
                if not math.isclose(item.score, score, **_TOLERANCE):
                    raise InputError(
                        f"{asked}, item {_shown(item.item)}: score {item.score:g} expected, {score:g} found"
                    )
                difference = max(difference, abs(item.score - score))
            # only an item as good as the last may have lost its place to another
            elif not math.isclose(item.score, ranked[-1][1], **_TOLERANCE):
                last, score = ranked[-1]
                raise InputError(
                    f"{asked}, item {_shown(item.item)}: score {item.score:g} expected, item not found; "
                    f"the last that is, {_shown(last)}, has {score:g}"
                )
        for place, (item, (other, score)) in enumerate(zip(expected, ranked, strict=True), 1):
            if not math.isclose(item.score, score, **_TOLERANCE):
                raise InputError(
                    f"{asked}, place {place}: item {_shown(item.item)} with score {item.score:g} expected, "
                    f"{_shown(other)} with {score:g} found"
                )
            difference = max(difference, abs(item.score - score))
        return difference


class Golden(_Part):
    """The content of ``golden.json``."""

    requests: list[GoldenRequest] = Field(min_length=1, max_length=_MAX_REQUESTS)

    def check_ids(self, place: str, users: Sequence[str], items: Sequence[str]) -> None:
        """Refuse what is asked for strangers or expects unknown items.

        Args:
            place: of the file, for messages.
            users, items: raw ids of the model.

        Raises:
            InputError: that names an id.
        """
        for kind, wanted, known in (
            ("user", {request.user for request in self.requests}, users),
            ("item", {item.item for request in self.requests for item in request.items}, items),
        ):
            if unknown := sorted(wanted.difference(known)):
                raise InputError(f"{place}: {kind} {_shown(unknown[0])} is not in the model")


def _shown(value: str) -> str:
    """An id in a message, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
