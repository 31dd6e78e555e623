"""``ncf show``: recommendations and history of a user, as text."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from pydantic import Field

from ncf.api.limits import MAX_K
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

    model: str = Input("Model", "Model folder that the train stage wrote, or a model.tar.gz of it")
    user: str = Field(min_length=1, description="Raw id of the user")
    top_k: int = Field(10, ge=1, le=MAX_K, description="Number of items")
    exclude_seen: bool = Field(True, description="Whether to leave out items that the user has interacted with")

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
    items = [(f"{item['score']:.3f}", _label(item["item"], item.get("title", ""))) for item in answer["items"]]
    if answer["source"] == "popular":
        items = [(f"{float(score):,.0f}", label) for score, label in items]
    head = f"model {version}, user {_plain(answer['user'])}"
    if answer["source"] == "popular":
        head += ": not in the model; popular items, by number of interactions"
    elif len(history) > len(items) > 0:
        head += f"; {len(history)} items in the history, {len(items)} shown"
    scores = max((len(score) for score, _ in items), default=0)
    left = [
        f"{rank:>{len(str(len(items)))}}  {score:>{scores}}  {label}" for rank, (score, label) in enumerate(items, 1)
    ]
    right = list(history[: len(items)] if items else history)
    lines = [head, ""]
    if not left:
        left = ["nothing is left to recommend"]
    if not right:
        return "\n".join([*lines, *(_cut(line, width) for line in ["recommended", *left])])
    if width < _SIDE_BY_SIDE:
        rows = ["recommended", *left, "", "history", *right]
        return "\n".join([*lines, *(_cut(row, max(width, _LEAST_WIDTH)) for row in rows)])
    column = min(max(_width(line) for line in ["recommended", *left]), (width - len(_GAP)) * 3 // 5)
    for one, other in zip_longest(["recommended", *left], ["history", *right], fillvalue=""):
        one = _cut(one, column)
        padded = one + " " * (column - _width(one))
        lines.append((padded + _GAP + _cut(other, width - column - len(_GAP))).rstrip())
    return "\n".join(lines)


def _label(item: str, title: str) -> str:
    return f"{_plain(title)} [{_plain(item)}]" if title else _plain(item)


def _plain(text: str) -> str:
    """Text without control characters, which could change the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _width(text: str) -> int:
    """Columns of a text on a terminal: two for an East Asian character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _cut(text: str, width: int) -> str:
    """The text, cut to ``width`` columns."""
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return f"{text}\N{HORIZONTAL ELLIPSIS}"
