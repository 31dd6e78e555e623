"""The few items of a large catalogue that are worth scoring for a user.

The tower of MLP and NeuMF is no inner product of a user's and an item's vector, but nearly one: the scores that it
gives to all items for any user are close to a linear combination of those for a few users, the *landmarks*. So an
item is described by its GMF vector, which is exact, and by the tower's scores of it for the landmarks; and a user by
its own GMF vector and the coefficients of that combination, fitted to the tower's scores of a sample of items. This
is a CUR decomposition of the tower's scores, as ANNCUR uses it for cross-encoders (Yadav et al., EMNLP 2022,
https://arxiv.org/abs/2210.12579). One matrix product then tells which items are worth scoring exactly.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.models.limits import CANDIDATES, CANDIDATES_A_PLACE

if TYPE_CHECKING:
    from ncf.models.scorer import Indices, Scorer

_LANDMARKS, _LANDMARKS_ALONE = 16, 64  # beside GMF, and without it
_POOL = 256  # users that landmarks are chosen from
_SAMPLE = 512  # items that a user's coefficients are fitted to
_PROBES = 8  # users that it is tested on
_FEW, _FEW_MARGIN = 10, 4
_MANY, _MANY_MARGIN = 100, 2
_TABLE = 1 << 22  # scores held at a time: 16 MB
_ITEMS_AT_ONCE = 1 << 16
_SEED = 0


class Retriever:
    """Retrieves by an inner product; with GMF alone it is exact.

    It tests itself: for some users, who are no landmarks and were not considered for it, all items are scored exactly,
    and if their 10 and 100 best do not come early enough here, more candidates are taken than was asked for.

    Args:
        scorer: of the model.
        candidates: items at least to retrieve for a user.

    Attributes:
        candidates: items at least that are retrieved for a user.
        candidates_a_place: the same for each item that is wanted.
        items: float32 [n_items, columns], the items' side of the inner product; GMF's vectors come first.
    """

    def __init__(self, scorer: Scorer, candidates: int = CANDIDATES) -> None:
        self._scorer = scorer
        rng = np.random.default_rng(_SEED)
        n_users, n_items = scorer.config.n_users, scorer.config.n_items
        self.items = scorer.gmf_items()  # [n_items, factors]; no columns without GMF
        self._sample = np.sort(rng.choice(n_items, min(_SAMPLE, n_items), replace=False))
        users = rng.permutation(n_users)
        count = _landmarks(scorer)
        probes = min(_PROBES, max(0, n_users - count))  # where all users can be landmarks, nothing is left to test
        pool = users[: min(_POOL, n_users - probes)]
        if count:
            chosen = _most_different(scorer.tower(pool, self._sample), count)
            self._add_columns(pool[chosen])
        self.candidates, self.candidates_a_place = candidates, float(CANDIDATES_A_PLACE)
        self._probe(users[len(pool) : len(pool) + probes])

    def _add_columns(self, landmarks: NDArray[np.int64]) -> None:
        """Put the tower's scores for the landmarks, and a constant, behind the items' GMF vectors."""
        gmf, n_items = self.items, len(self.items)
        width = gmf.shape[1]
        self.items = np.empty((n_items, width + len(landmarks) + 1), np.float32)
        self.items[:, -1] = 1
        for start in range(0, n_items, _ITEMS_AT_ONCE):
            block = slice(start, min(start + _ITEMS_AT_ONCE, n_items))
            self.items[block, :width] = gmf[block]
            self.items[block, width:-1] = self._scorer.tower(landmarks, block).T
        known = self.items[self._sample, width:].astype(np.float64)
        self._fit = np.linalg.pinv(known, rcond=1e-6).T.astype(np.float32)  # [sample, landmarks + 1]

    def _probe(self, users: NDArray[np.int64]) -> None:
        """Take more candidates if the best items of these users come later than the candidates' number allows."""
        for user in users:
            exact = self._scorer.score_all(np.array([user]))[0]
            near = self.scores(np.array([user]))[0]
            self.candidates = max(self.candidates, _FEW_MARGIN * _reach(exact, near, _FEW))
            a_place = _MANY_MARGIN * _reach(exact, near, _MANY) / _MANY
            self.candidates_a_place = max(self.candidates_a_place, a_place)

    def with_users_of(self, scorer: Scorer) -> Retriever:
        """The same for a scorer of the same items."""
        other = copy.copy(self)
        other._scorer = scorer
        return other

    def scores(self, users: Indices) -> NDArray[np.float32]:
        """What comes near to the logits, but for a constant of the user: int [B] -> float32 [B, n_items]."""
        parts = [self._scorer.gmf_users(users)]
        if self._scorer.config.has_tower:
            parts.append(self._scorer.tower(users, self._sample) @ self._fit)
        near: NDArray[np.float32] = np.concatenate(parts, axis=1) @ self.items.T
        return near

    def retrieve(self, users: Indices, k: int, exclude: ItemsByUser | None) -> Iterator[NDArray[np.intp]]:
        """The candidates of each user, ascending, without what is excluded.

        Args:
            users: int [B].
            k: items that are wanted in the end.
            exclude: items of each user never to be returned.
        """
        wanted = max(self.candidates, math.ceil(self.candidates_a_place * k))
        n_items = len(self.items)
        height = max(1, _TABLE // n_items)
        for start in range(0, len(users), height):
            block = users[start : start + height]
            for user, near in zip(block.tolist(), self.scores(block), strict=True):
                if exclude is not None:
                    near[exclude.of_user(user)] = -np.inf
                least = np.partition(near, n_items - wanted)[n_items - wanted] if wanted < n_items else -np.inf
                yield np.flatnonzero(near >= least if least > -np.inf else near > -np.inf)


def _landmarks(scorer: Scorer) -> int:
    """How many landmarks there are at most."""
    if not scorer.config.has_tower:
        return 0
    return _LANDMARKS if scorer.config.has_gmf else _LANDMARKS_ALONE


def _reach(exact: NDArray[np.float32], near: NDArray[np.float32], places: int) -> int:
    """How many of the first by ``near`` hold the best ``places`` by ``exact``; float32 [n_items] each."""
    best = np.argpartition(-exact, min(places, len(exact)) - 1)[:places]
    return int(np.count_nonzero(near >= near[best].min()))


def _most_different(scores: NDArray[np.float32], count: int) -> list[int]:
    """Rows of ``scores`` whose linear combinations come near to the others: pivoted Gram-Schmidt.

    A row is chosen for what the ones before it do not explain of it; where nothing is left, fewer are chosen.
    """
    rest = scores.astype(np.float64)
    rest -= rest.mean(1, keepdims=True)  # the constant is a column of its own
    nothing = 1e-9 * np.square(rest).sum(1).max()
    chosen: list[int] = []
    while len(chosen) < min(count, len(rest)):
        sizes = np.square(rest).sum(1)
        row = int(sizes.argmax())
        if sizes[row] <= nothing:
            break
        direction = rest[row] / np.sqrt(sizes[row])
        rest -= np.outer(rest @ direction, direction)
        chosen.append(row)
    return chosen
