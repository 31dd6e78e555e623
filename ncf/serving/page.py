"""The page at ``/`` for people: pick a user, see history and recommendations; and what it reads beside /invocations."""

from __future__ import annotations

import heapq
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import takewhile

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ncf.serving.html import html_route
from ncf.serving.invocations import NOT_LOADED
from ncf.serving.recommender import Recommender

SUGGESTIONS = 8
HISTORY_ITEMS = 100
"""Of a history, in one answer."""
_PLACE = re.compile(r"[0-9]{1,9}")
_COMPARED = 10_000
"""Users that begin alike, the first in order, among which the shortest are looked for."""


class Users:
    """The raw ids of the model's users, in order, to be found by how they begin."""

    def __init__(self, users: Iterable[str]) -> None:
        self._users = sorted(users)

    def suggest(self, prefix: str) -> list[str]:
        """Some users whose id begins with ``prefix``, the shortest ids first; for '' some of all, evenly spread."""
        users = self._users
        if not prefix:
            count = min(SUGGESTIONS, len(users))
            return [users[len(users) * place // count] for place in range(count)]
        first = bisect_left(users, prefix)
        alike = takewhile(lambda user: user.startswith(prefix), users[first : first + _COMPARED])
        return heapq.nsmallest(SUGGESTIONS, alike, key=lambda user: (len(user), user))


def routes(loaded: Callable[[], Recommender | None], refuse: Callable[[int, str], JSONResponse]) -> list[Route]:
    """The routes of the page.

    Args:
        loaded: the model, or None while it is not loaded.
        refuse: makes the answer of a status and a message.
    """
    sorted_once = lru_cache(maxsize=1)(lambda recommender: Users(recommender.users))

    # not coroutines, so that they run in threads: the first has all ids to sort, the second a history to score

    def users(request: Request) -> JSONResponse:
        """``?prefix=``: some users whose id begins so."""
        if (recommender := loaded()) is None:
            return refuse(503, NOT_LOADED)
        found = sorted_once(recommender).suggest(request.query_params.get("prefix", ""))
        return JSONResponse({"model_version": recommender.version, "users": found})

    def history(request: Request) -> JSONResponse:
        """``?user=&start=``: what the user has interacted with, best first by the model, from the place ``start`` on
        (0 is the first); nothing for a stranger."""
        if (recommender := loaded()) is None:
            return refuse(503, NOT_LOADED)
        if not (user := request.query_params.get("user", "")):
            return refuse(422, "user is missing; expected a raw id")
        text = request.query_params.get("start", "0")
        if not _PLACE.fullmatch(text):
            return refuse(422, f"start is {text[:60]!r}; expected a place in the history, 0 for the first")
        items, start = recommender.history(user), int(text)
        return JSONResponse({"user": user, "total": len(items), "items": items[start : start + HISTORY_ITEMS]})

    return [html_route("/", "page.html"), Route("/page/users", users), Route("/page/history", history)]
