"""The page at ``/`` for people, and the routes that it reads beside POST /invocations."""

from __future__ import annotations

import heapq
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ncf.artifacts.ids import canonical_id
from ncf.serving.about import about
from ncf.serving.html import html_route
from ncf.serving.invocations import NOT_LOADED
from ncf.serving.recommender import Recommender
from ncf.serving.titles import TitleIndex

SUGGESTIONS = 8
HISTORY_ITEMS = 100
"""Items of a history in one answer."""
MAX_QUERY_LENGTH = 512
"""Characters of a title to search for."""
_START = re.compile(r"[0-9]{1,9}")
_Found = TypeVar("_Found")
_COMPARED = 10_000
"""User ids with a prefix, the first in order, of which the shortest are suggested."""


class UserIndex:
    """Raw ids of the model's users in order, for search by prefix."""

    def __init__(self, users: Iterable[str]) -> None:
        self._users = sorted(users)

    def suggest(self, prefix: str) -> list[str]:
        """Users whose id begins with ``prefix``, the shortest ids first; for '' a sample of all, evenly spread."""
        users = self._users
        if not prefix:
            count = min(SUGGESTIONS, len(users))
            return [users[len(users) * index // count] for index in range(count)]
        first = bisect_left(users, prefix)
        alike = takewhile(lambda user: user.startswith(prefix), users[first : first + _COMPARED])
        return heapq.nsmallest(SUGGESTIONS, alike, key=lambda user: (len(user), user))


class _QueryError(Exception):
    """A parameter of a request at fault; the message names it and what is accepted."""


class _Answers:
    """Answers of the routes for one model; the indices for search are made when first needed."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender, self._model = recommender, recommender.model

    @cached_property
    def _users(self) -> UserIndex:
        return UserIndex(self._recommender.users)

    @cached_property
    def _titles(self) -> TitleIndex:
        return TitleIndex(self._model)

    @cached_property
    def _about(self) -> dict[str, Any]:
        return about(self._model)

    def about(self, _: Request) -> dict[str, Any]:
        """What the model is and its metrics."""
        return self._about

    def users(self, request: Request) -> dict[str, Any]:
        """``?prefix=``: users whose id begins so."""
        prefix = request.query_params.get("prefix", "").strip()
        found = _found(self._users.suggest, prefix)
        return {"model_version": self._model.version, "users": found}

    def titles(self, request: Request) -> dict[str, Any]:
        """``?query=``: items by title; the most popular ones for ''."""
        query = request.query_params.get("query", "")
        if len(query) > MAX_QUERY_LENGTH:
            raise _QueryError(f"query has {len(query)} characters; expected {MAX_QUERY_LENGTH} at most")
        ids, titles = self._model.item_ids, self._model.item_titles
        found = [
            {"item": ids[index]} | ({"title": titles[index]} if titles is not None and titles[index] else {})
            for index in _found(lambda text: self._titles.search(text, SUGGESTIONS), query)
        ]
        return {"model_version": self._model.version, "items": found}

    def history(self, request: Request) -> dict[str, Any]:
        """``?user=&start=``: items that a user has interacted with, from index ``start`` on.

        The latest come first where dates are known, otherwise the best by the model's score. An unknown user has
        none.
        """
        if not (user := canonical_id(request.query_params.get("user", ""))):
            raise _QueryError("user is missing; expected a raw id")
        text = request.query_params.get("start", "0")
        if not _START.fullmatch(text):
            raise _QueryError(f"start is {text[:60]!r}; expected an index into the history, 0 for the first")
        dates, start = self._recommender.dates(user), int(text)
        history = self._recommender.history(user)
        history.sort(key=lambda item: dates.get(item["item"], ""), reverse=True)  # stable: of one day the best first
        items = [
            {**item, **({"date": dates[item["item"]]} if dates else {})}
            for item in history[start : start + HISTORY_ITEMS]
        ]
        return {"user": user, "total": len(history), "items": items}


def _found(search: Callable[[str], list[_Found]], text: str) -> list[_Found]:
    """What a search finds for a text, or else for the id that the text stands for."""
    found = search(text)
    return search(other) if not found and (other := canonical_id(text)) else found


def routes(loaded: Callable[[], Recommender | None], refuse: Callable[[int, str], JSONResponse]) -> list[Route]:
    """The routes of the page.

    Args:
        loaded: the model, or None while it is not loaded.
        refuse: makes the answer of a status and a message.
    """
    answers_of = lru_cache(maxsize=1)(_Answers)

    def route(path: str, answer: Callable[[_Answers, Request], dict[str, Any]]) -> Route:
        # no coroutine, so that it runs in a thread: ids are sorted, titles searched, a history is scored
        def respond(request: Request) -> JSONResponse:
            if (recommender := loaded()) is None:
                return refuse(503, NOT_LOADED)
            try:
                return JSONResponse(answer(answers_of(recommender), request))
            except _QueryError as error:
                return refuse(422, str(error))

        return Route(path, respond)

    return [
        html_route("/", "page.html"),
        route("/page/about", _Answers.about),
        route("/page/users", _Answers.users),
        route("/page/titles", _Answers.titles),
        route("/page/history", _Answers.history),
    ]
