"""``ncf show``: recommendations and history of a user, as text."""

from __future__ import annotations

import shutil
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from ncf.api.limits import MAX_K
from ncf.artifacts.ids import canonical_id
from ncf.console_text import visible
from ncf.stage.declaration import Input, Stage
from ncf.storage import local_copy

if TYPE_CHECKING:
    from ncf.api.answers import Recommendation

_LEAST_WIDTH, _SIDE_BY_SIDE = 20, 70
_GAP = "   "


class Show(Stage):
    """Print recommendations for a user beside the user's history. Also: ncf recommend --user ID.

    Items and scores are those of the endpoint. An unknown user gets popular items. The history is sorted by the
    model's score, best first.
    """

    model: str = Input("Model", "Model folder that the train stage wrote, or a tar archive of it, such as model.tar.gz")
    user: str = Field(min_length=1, description="Raw id of the user")
    top_k: int = Field(10, ge=1, le=MAX_K, description="Number of items")
    exclude_seen: bool = Field(True, description="Whether to leave out items that the user has interacted with")

    @field_validator("user")
    @classmethod
    def _is_id(cls, value: str) -> str:
        if not (user := canonical_id(value)):
            raise ValueError("expected a raw id; this stands for a missing value")
        return user

    def run(self) -> None:
        from ncf.artifacts.archive import unpacked
        from ncf.artifacts.model_folder import ModelFolder
        from ncf.serving.recommender import Recommender

        with local_copy(self.model) as copy, unpacked(copy) as folder:
            model = ModelFolder.load(folder)
            recommender = Recommender(model)
            answer = recommender.recommend([self.user], self.top_k, self.exclude_seen)[0]
            history = [_label(item["item"], item.get("title", "")) for item in recommender.history(self.user)]
            print(_page(model.version, answer, history, shutil.get_terminal_size((100, 24)).columns))


def _page(version: str, answer: Recommendation, history: Sequence[str], width: int) -> str:
    """Both lists, side by side if they fit in ``width`` columns."""
    left = ["recommended", *_ranked(answer)]
    count = len(answer["items"])
    right = ["history", *(history[:count] if count else history)] if history else []
    lines = [_head(version, answer, len(history)), ""]
    if not right:
        lines += [_cut(row, width) for row in left]
    elif width < _SIDE_BY_SIDE:
        lines += [_cut(row, max(width, _LEAST_WIDTH)) for row in [*left, "", *right]]
    else:
        lines += _side_by_side(left, right, width)
    return "\n".join(lines)


def _head(version: str, answer: Recommendation, history: int) -> str:
    """The model, the user, and what the lists leave out."""
    head = f"model {version}, user {_plain(answer['user'])}"
    if answer["source"] == "popular":
        return f"{head}: not in the model; popular items, by number of interactions"
    if history > len(answer["items"]) > 0:
        return f"{head}; {history} items in the history, {len(answer['items'])} shown"
    return head


def _ranked(answer: Recommendation) -> list[str]:
    """A row for each item: rank, score, title and id."""
    number = ",.0f" if answer["source"] == "popular" else ".3f"
    scores = [format(item["score"] or 0.0, number) for item in answer["items"]]
    ranks, width = len(str(len(scores))), max(map(len, scores), default=0)
    rows = [
        f"{rank:>{ranks}}  {score:>{width}}  {_label(item['item'], item.get('title', ''))}"
        for rank, (score, item) in enumerate(zip(scores, answer["items"], strict=True), 1)
    ]
    return rows or ["nothing is left to recommend"]


def _side_by_side(left: Sequence[str], right: Sequence[str], width: int) -> Iterator[str]:
    column = min(max(map(_width, left)), (width - len(_GAP)) * 3 // 5)
    for one, other in zip_longest(left, right, fillvalue=""):
        cell = _cut(one, column)
        cell += " " * (column - _width(cell))
        yield (cell + _GAP + _cut(other, width - column - len(_GAP))).rstrip()


def _label(item: str, title: str) -> str:
    return f"{_plain(title)} [{_plain(item)}]" if title else _plain(item)


def _plain(text: str) -> str:
    """Text without control characters, which could change the terminal, and of one width in any column."""
    return visible(text).replace("\t", " ")


def _width(text: str) -> int:
    """Columns of a text on a terminal: two for an East Asian character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _cut(text: str, width: int) -> str:
    """The text, cut to ``width`` columns."""
    widths = list(accumulate(map(_width, text)))  # of each prefix
    if not widths or widths[-1] <= width:
        return text
    return f"{text[: bisect_right(widths, width - 1)]}\N{HORIZONTAL ELLIPSIS}"
