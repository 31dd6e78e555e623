"""Top items for raw user ids: what the endpoint answers, without HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

import numpy as np

from ncf.models.model_folder import ModelFolder
from ncf.models.scorer import NO_ITEM, Scorer, best_places


class Item(TypedDict):
    """A recommended item: its raw id, its title where one is known, and what it was ranked by."""

    item: str
    title: NotRequired[str]
    score: float


class Recommendation(TypedDict):
    """The items for one user, best first.

    ``source`` is ``model`` for a user of the training data, and scores are logits; anybody else gets what is
    ``popular``, and scores are numbers of interactions.
    """

    user: str
    source: Literal["model", "popular"]
    items: list[Item]


class Recommender:
    """Answers with the items that a model ranks highest for a user, or the popular ones for a stranger."""

    def __init__(self, model: ModelFolder) -> None:
        self.version = model.version
        self._scorer = Scorer(model.config, model.weights)
        self._users = {user: index for index, user in enumerate(model.user_ids)}
        self._seen = model.seen
        self._item_ids, self._titles = model.item_ids, model.item_titles
        self._popularity = model.popularity
        self._popular = best_places(model.popularity, model.config.n_items)  # most popular first

    def recommend(self, users: Sequence[str], k: int, exclude_seen: bool = True) -> list[Recommendation]:
        """The best ``k`` items of each user, in the order of ``users``.

        Args:
            users: raw ids; those that the model does not know get popular items.
            k: items for each user; fewer come where the catalogue has no more (unseen) ones.
            exclude_seen: leave out what a user has interacted with.
        """
        known = np.array([self._users[user] for user in users if user in self._users], np.int64)
        rows = zip(*self._scorer.top_k(known, k, self._seen if exclude_seen else None), strict=True)
        answers: list[Recommendation] = []
        for user in users:
            if user in self._users:
                items, scores = next(rows)
                found = [(item, score) for item, score in zip(items.tolist(), scores.tolist()) if item != NO_ITEM]
                answers.append({"user": user, "source": "model", "items": [self._item(*pair) for pair in found]})
            else:
                popular = [(item, self._popularity[item].item()) for item in self._popular[:k].tolist()]
                answers.append({"user": user, "source": "popular", "items": [self._item(*pair) for pair in popular]})
        return answers

    def _item(self, index: int, score: float) -> Item:
        item: Item = {"item": self._item_ids[index], "score": round(score, 6)}
        if self._titles is not None and (title := self._titles[index]):
            item["title"] = title
        return item
