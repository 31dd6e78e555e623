"""``golden.json``: requests to the endpoint and their answers by the trained network.

The server scores in numpy, not in torch. It takes traffic only after it has given these answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ncf.artifacts.regular_files import shown
from ncf.errors import InputError

FILE_NAME = "golden.json"
K = 10
"""Items of each answer; all items of a smaller catalogue."""

# Sums in float32 differ between numpy, torch and machines, and served logits are rounded to 1e-6: together some 1e-5
# of a logit. A difference of 1e-3 has another cause.
_TOLERANCE = {"rel_tol": 1e-3, "abs_tol": 1e-3}
_MAX_REQUESTS = 100


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TopKRequest(_Part):
    """Body of a request for one user. The endpoint checks the values."""

    users: tuple[str]
    k: int
    exclude_seen: bool


class ExpectedItem(_Part):
    """Raw id of an item and its logit."""

    item: str
    score: FiniteFloat


class GoldenRequest(_Part):
    """A request and its expected answer: the items, highest score first."""

    request: TopKRequest
    items: list[ExpectedItem] = Field(min_length=1)

    @property
    def user(self) -> str:
        return self.request.users[0]

    def compare(self, found: Sequence[tuple[str, float]]) -> float:
        """Compare an answer with the expected one. Items with equal scores, within the tolerance, may swap ranks.

        Args:
            found: raw id and logit of each item of the answer.

        Returns:
            Largest difference between a score and the expected one.

        Raises:
            InputError: with the user, the item, the expected score and the score found.
        """
        request = f"{FILE_NAME}: user {_short(self.user)}"
        if len(found) != len(self.items):
            raise InputError(f"{request}: {len(self.items)} items expected, {len(found)} found")
        scores = dict(found)
        expected = sorted(self.items, key=lambda item: -item.score)
        ranked = sorted(found, key=lambda pair: -pair[1])
        difference = 0.0
        for item in expected:
            if item.item in scores:
                score = scores[item.item]
                if not math.isclose(item.score, score, **_TOLERANCE):
                    raise InputError(
                        f"{request}, item {_short(item.item)}: score {item.score:g} expected, {score:g} found"
                    )
                difference = max(difference, abs(item.score - score))
            # only an item that ties with the last one may be missing
            elif not math.isclose(item.score, ranked[-1][1], **_TOLERANCE):
                last, score = ranked[-1]
                raise InputError(
                    f"{request}, item {_short(item.item)}: score {item.score:g} expected, item not found; "
                    f"the last that is, {_short(last)}, has {score:g}"
                )
        for rank, (item, (other, score)) in enumerate(zip(expected, ranked, strict=True), 1):
            if not math.isclose(item.score, score, **_TOLERANCE):
                raise InputError(
                    f"{request}, rank {rank}: item {_short(item.item)} with score {item.score:g} expected, "
                    f"{_short(other)} with {score:g} found"
                )
            difference = max(difference, abs(item.score - score))
        return difference


class Golden(_Part):
    """Content of ``golden.json``."""

    requests: list[GoldenRequest] = Field(min_length=1, max_length=_MAX_REQUESTS)

    def check_ids(self, path: str, users: Sequence[str], items: Sequence[str]) -> None:
        """Check that all users and items are in the model.

        Args:
            path: of the file, for messages.
            users, items: raw ids of the model.

        Raises:
            InputError: with the first unknown id.
        """
        for kind, ids, known in (
            ("user", {request.user for request in self.requests}, users),
            ("item", {item.item for request in self.requests for item in request.items}, items),
        ):
            if unknown := sorted(ids.difference(known)):
                raise InputError(f"{path}: {kind} {_short(unknown[0])} is not in the model")


def _short(value: str) -> str:
    """Id for a message."""
    return shown(value, characters=60)
