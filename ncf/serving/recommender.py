"""Answers to each form of request, without HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from ncf.api import answers
from ncf.api.answers import Item, OneList, Ranking, Recommendation, Scores, Source
from ncf.api.requests import (
    AnyForm,
    ForCandidates,
    ForHistory,
    ForItem,
    FormOfOneList,
    ForPairs,
    Invocation,
    RequestError,
)
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.models.cold_start import ColdStart
from ncf.models.ranker import NO_ITEM, Ranker, top_k_indices
from ncf.models.similar_items import SimilarItems

PAIRS_K = 10
"""Items in the answer to user and item given as pairs, which names no number."""


class Recommender:
    """Answers with the items that a model ranks highest for a user, or the popular ones for an unknown user."""

    def __init__(self, model: ModelFolder) -> None:
        model = model.hosted()
        self.version, self.config = model.version, model.config
        self._ranker = Ranker(model.config, model.weights, histories=model.train)
        self._users = {user: index for index, user in enumerate(model.user_ids)}
        self._items = {item: index for index, item in enumerate(model.item_ids)}
        self._seen = model.seen
        self._item_ids, self._titles = model.item_ids, model.item_titles
        self._popularity = model.popularity
        self._popular = top_k_indices(model.popularity, model.config.n_items)  # most popular first
        self._model = model
        self._lock = threading.Lock()
        self._similar_items: SimilarItems | None = None
        self._cold_start: ColdStart | None = None

    def prepare(self) -> None:
        """Compute what histories and similar items need; the first request for them does so otherwise."""
        with self._lock:
            if self._similar_items is None:
                self._similar_items = SimilarItems(self.config, self._model.weights)
                if not self.config.has_history:
                    self._cold_start = ColdStart(self._ranker, self._model.weights, self._model.train)

    def pairs(self, form: AnyForm) -> int:
        """How many pairs of user and item are scored for a request."""
        match form:
            case Invocation():
                return len(form.users) * (self.config.n_items if form.allow is None else len(form.allow))
            case ForCandidates():
                return len(form.items)
            case ForPairs():
                return len(form.item)
            case ForItem() | ForHistory():
                return self.config.n_items
        assert_never(form)

    def answer(self, form: FormOfOneList) -> OneList:
        """The answer to a request for one list of items.

        Raises:
            RequestError: 422 if there is none, as for items similar to an unknown one.
        """
        match form:
            case ForCandidates():
                return self._scores(form)
            case ForPairs():
                return self._best_of_pairs(form)
            case ForItem():
                return self._similar(form)
            case ForHistory():
                return self._from_history(form)
        assert_never(form)

    def recommend(
        self,
        users: Sequence[str],
        k: int,
        exclude_seen: bool = True,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] | None = None,
        with_titles: bool = True,
    ) -> list[Recommendation]:
        """The best ``k`` items of each user, in the order of ``users``.

        Args:
            users: raw ids; those that the model does not know get popular items.
            k: items for each user; fewer come where the catalogue has no more (unseen) ones.
            exclude_seen: leave out what a user has interacted with.
            allow: raw ids of the items to choose from; None for all.
            deny: raw ids of items to leave out.
            with_titles: give titles.
        """
        wanted = Invocation.model_construct(
            users=users, k=k, exclude_seen=exclude_seen, allow=allow, deny=deny, with_titles=with_titles
        )
        return list(self.recommendations(wanted))

    def recommendations(self, form: Invocation) -> Iterator[Recommendation]:
        """As :meth:`recommend`, each user's items when they are asked for."""
        allowed = None if form.allow is None else self._known(form.allow)
        denied = self._known(form.deny or ())
        known = np.array([self._users[user] for user in form.users if user in self._users], np.int64)
        seen = self._seen if form.exclude_seen else None
        rows = self._best(self._ranker, known, form.k, seen, allowed, denied)
        popular = self._popular_of(form.k, allowed, denied) if len(known) < len(form.users) else []
        for user in form.users:
            source: Source = "model" if user in self._users else "popular"
            found = next(rows) if source == "model" else popular
            yield {"user": user, "source": source, "items": self._items_of(found, form.with_titles)}

    def unknown(self, items: Iterable[str]) -> list[str]:
        """Those that the model does not know, each once."""
        return [item for item in dict.fromkeys(items) if item not in self._items]

    @property
    def model(self) -> ModelFolder:
        """Folder of the model."""
        return self._model

    @property
    def users(self) -> Iterable[str]:
        """Raw ids of the users that the model knows."""
        return self._users.keys()

    def history(self, user: str) -> list[Item]:
        """All items that a user has interacted with, best first by the model's own score; none for an unknown user."""
        index = self._users.get(user)
        if index is None:
            return []
        items = self._seen.of_user(index)
        scores = self._ranker.scorer.rescore(np.array([index]), items)[0]
        best = np.argsort(-scores, kind="stable")
        return self._items_of(zip(items[best].tolist(), scores[best].tolist(), strict=True), with_titles=True)

    def dates(self, user: str) -> dict[str, str]:
        """ISO date (UTC) of the user's interaction with each item of :meth:`history`; empty where none is known."""
        index, days = self._users.get(user), self._model.seen_days
        if index is None or days is None:
            return {}
        items = self._seen.of_user(index).tolist()
        own = days[self._seen.offsets[index] : self._seen.offsets[index + 1]].astype("datetime64[D]")
        return {self._item_ids[item]: str(day) for item, day in zip(items, own, strict=True)}

    def _scores(self, form: ForCandidates) -> Scores:
        known = self._known(form.items)
        source, values = self._scores_of(form.user, known)
        found = dict(zip(known.tolist(), values.tolist(), strict=True))
        items = [
            self._item(index, found[index], form.with_titles)
            if (index := self._items.get(item, NO_ITEM)) != NO_ITEM
            else Item(item=item, score=None)
            for item in form.items
        ]
        return {"model_version": self.version, "user": form.user, "source": source, "items": items}

    def _best_of_pairs(self, form: ForPairs) -> Ranking:
        user, known = form.user[0], self._known(form.item)
        source, values = self._scores_of(user, known)
        best = top_k_indices(values, PAIRS_K)
        found = list(zip(known[best].tolist(), values[best].tolist(), strict=True))
        return self._ranking(source, found, self.unknown(form.item), user=user)

    def _similar(self, form: ForItem) -> answers.SimilarItems:
        item = self._items.get(form.item, NO_ITEM)
        if item == NO_ITEM:
            raise RequestError(
                422, f"item is {form.item[:60]!r}, which the model does not know; expected one of its items"
            )
        self.prepare()
        assert self._similar_items is not None
        cosines = self._similar_items.cosines(item)
        cosines[item] = -np.inf
        return {
            "model_version": self.version,
            "item": form.item,
            "similar": self._items_of(_best_of(cosines, form.k), form.with_titles),
        }

    def _from_history(self, form: ForHistory) -> Ranking:
        known, denied = self._known(form.history[::-1])[::-1], self._known(form.deny or ())  # of repeats the latest
        allowed = None if form.allow is None else self._known(form.allow)
        unknown = self.unknown([*form.history, *(form.allow or ())])
        user = self._users.get(form.user) if form.user is not None else None
        if user is not None:
            before = self._seen.of_user(user)
            known = np.concatenate([before[~np.isin(before, known)], known])
        if not len(known):
            popular = self._popular_of(form.k, allowed, denied)
            return self._ranking("popular", popular, unknown, form.with_titles, form.user)
        history = ItemsByUser(np.array([0, len(known)]), known.astype(np.int32))
        (best,) = self._best(self._with_history(history), np.zeros(1, np.int64), form.k, history, allowed, denied)
        return self._ranking("history", best, unknown, form.with_titles, form.user)

    def _with_history(self, history: ItemsByUser) -> Ranker:
        """A ranker whose only user, 0, has this history."""
        if self.config.has_history:
            return self._ranker.with_histories(history)
        self.prepare()
        assert self._cold_start is not None
        return self._cold_start.with_history(history.items)

    def _ranking(
        self,
        source: Source,
        found: Iterable[tuple[int, float]],
        unknown: list[str],
        with_titles: bool = True,
        user: str | None = None,
    ) -> Ranking:
        answer: Ranking = {"model_version": self.version, "source": source, "items": self._items_of(found, with_titles)}
        if user is not None:
            answer["user"] = user
        if unknown:
            answer["unknown"] = unknown
        return answer

    def _best(
        self,
        ranker: Ranker,
        users: NDArray[np.int64],
        k: int,
        exclude: ItemsByUser | None,
        allowed: NDArray[np.int64] | None,
        denied: NDArray[np.int64],
    ) -> Iterator[list[tuple[int, float]]]:
        """Item indices and logits of the best of each of a ranker's users."""
        if allowed is None:
            unwanted = set(denied.tolist())
            # of so many the best k are left, whichever of them are denied
            for items, scores in ranker.top_k_of_each(users, k + len(denied), exclude):
                pairs = zip(items.tolist(), scores.tolist(), strict=True)
                yield [pair for pair in pairs if pair[0] not in unwanted][:k]
            return
        candidates = np.setdiff1d(allowed, denied)
        for row in range(len(users)):
            scores = ranker.scorer.rescore(users[row : row + 1], candidates)[0]
            if exclude is not None:
                scores[np.isin(candidates, exclude.of_user(int(users[row])))] = -np.inf
            yield [(int(candidates[index]), score) for index, score in _best_of(scores, k)]

    def _popular_of(
        self, k: int, allowed: NDArray[np.int64] | None, denied: NDArray[np.int64]
    ) -> list[tuple[int, float]]:
        wanted = np.full(self.config.n_items, allowed is None)
        if allowed is not None:
            wanted[allowed] = True
        wanted[denied] = False
        best = self._popular[wanted[self._popular]][:k]
        return list(zip(best.tolist(), self._popularity[best].tolist(), strict=True))

    def _scores_of(self, user: str, items: NDArray[np.int64]) -> tuple[Source, NDArray[Any]]:
        """How the items of a user rank: by the model, or by popularity for an unknown user."""
        index = self._users.get(user)
        if index is None:
            return "popular", self._popularity[items]
        return "model", self._ranker.scorer.score_pairs(np.array([index]), items[None])[0]

    def _known(self, items: Iterable[str]) -> NDArray[np.int64]:
        """Index of each item that the model knows, each once."""
        return np.array([self._items[item] for item in dict.fromkeys(items) if item in self._items], np.int64)

    def _items_of(self, found: Iterable[tuple[int, float]], with_titles: bool) -> list[Item]:
        return [self._item(index, score, with_titles) for index, score in found]

    def _item(self, index: int, score: float, with_titles: bool) -> Item:
        item: Item = {"item": self._item_ids[index], "score": round(score, 6)}
        if with_titles and self._titles is not None and (title := self._titles[index]):
            item["title"] = title
        return item


def _best_of(scores: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """Indices and values of the ``k`` highest scores above -inf."""
    best = top_k_indices(scores, k)
    return [pair for pair in zip(best.tolist(), scores[best].tolist(), strict=True) if pair[1] > -np.inf]
