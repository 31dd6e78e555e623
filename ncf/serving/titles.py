"""Search of items by title: case and diacritics folded, in any script, the most popular matches first."""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np

from ncf.artifacts.model_folder import ModelFolder

_MAX_CHECKED = 20_000
"""Titles with the longest word of a query that are checked for its other words."""
_LETTERS = {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe"}
"""Letters that Unicode does not decompose into a letter and a mark."""


class _Folding(dict[int, str]):
    """Table for ``str.translate``: marks are dropped, and what is no letter or number becomes a space."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        self[code] = "" if category == "Mn" else chr(code) if category[0] in "LN" or category == "Mc" else " "
        return self[code]


_FOLDING = _Folding({ord(letter): plain for letter, plain in _LETTERS.items()})


def fold(text: str) -> str:
    """Words of a text for comparison, in lower case without diacritics, with one space between.

    A text without letters and numbers keeps its characters.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return " ".join(plain.translate(_FOLDING).split()) or " ".join(plain.split())


class TitleIndex:
    """Index of a model's titles; an item without one is found by its raw id.

    The folded titles lie end to end in UTF-8, the most popular first. A search reads them in this order and ends as
    soon as it has enough.

    Args:
        model: gives titles, ids and popularity.
    """

    def __init__(self, model: ModelFolder) -> None:
        ids = list(model.item_ids)
        titles = list(model.item_titles) if model.item_titles is not None else [""] * len(ids)
        self._order = np.argsort(-model.popularity, kind="stable")
        # each begins with a line feed and a space, so that a word's beginning is known by the space before it
        rows = [f"\n {fold(titles[item] or ids[item])}".encode() for item in self._order.tolist()]
        self._text = b"".join(rows)
        self._starts = array("q", accumulate(map(len, rows), initial=0))

    def search(self, query: str, limit: int) -> list[int]:
        """Indices of items whose title has all words of a query.

        First come titles that begin with the query, then those with words that begin with the query's words, then
        those that contain them; within each group the most popular first.

        Args:
            query: words, whole or in part; without any the most popular items are the answer.
            limit: items at most.
        """
        folded = fold(query)
        words = folded.split()
        if not words:
            return [int(item) for item in self._order[:limit]]
        found: dict[int, None] = {}
        for patterns in ([f"\n {folded}"], [f" {word}" for word in words], words):
            for row in self._rows([pattern.encode() for pattern in patterns]):
                found[row] = None
                if len(found) == limit:
                    break
            if len(found) == limit:
                break
        return [int(self._order[row]) for row in found]

    def _rows(self, patterns: Sequence[bytes]) -> Iterator[int]:
        """Rows that contain all patterns."""
        longest = max(patterns, key=len)
        position = self._text.find(longest)
        for _ in range(_MAX_CHECKED):
            if position < 0:
                return
            row = bisect_right(self._starts, position) - 1
            end = self._starts[row + 1]
            title = self._text[self._starts[row] : end]
            if all(pattern in title for pattern in patterns):
                yield row
            position = self._text.find(longest, end)
