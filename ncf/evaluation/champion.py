"""A model beside its champion: the one that it would replace, which may know other users and other items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.dataset import Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.strings import Strings
from ncf.evaluation import metrics
from ncf.evaluation.rankers import Indices, Scores
from ncf.models.scorer import Scorer

LEAST_COMPARABLE = 100
"""Test positives below which a comparison says too little to decide on."""
_UNKNOWN = -1


@dataclass(frozen=True)
class Comparable:
    """Which test positives a champion can be asked for.

    Attributes:
        rows: bool [m], positives whose user and item it knows and that it was not fitted on.
        unknown: positives whose user or item it does not know.
        leaked: positives that it was fitted on, for which it would be asked what it has been told.
    """

    rows: NDArray[np.bool_]
    unknown: int
    leaked: int

    @property
    def too_few(self) -> str:
        """Why there is no comparison; '' if there is one."""
        count = int(self.rows.sum())
        if count >= LEAST_COMPARABLE:
            return ""
        return (
            f"Only {count:,} of {len(self.rows):,} test positives can be compared: the champion does not know "
            f"{self.unknown:,} and was fitted on {self.leaked:,}. {LEAST_COMPARABLE} are needed, so the gate does "
            "not use it."
        )


@dataclass(frozen=True)
class Comparison:
    """A model and its champion on the same test positives.

    Attributes:
        name: where the champion comes from.
        version: of the champion.
        comparable: which test positives are compared.
        places: of ``model`` and ``champion``, int64 [comparable] among the candidates.
        users: int32 [u], those of the full catalogue's users of whom every positive is comparable; may be none.
        catalogue: of ``model`` and ``champion`` on the full catalogue; empty where ``users`` is.
    """

    name: str
    version: str
    comparable: Comparable
    places: Mapping[str, metrics.Ranks]
    users: NDArray[np.int32]
    catalogue: Mapping[str, metrics.UserRanks]


class Champion:
    """A ranker in the indices of a model, that is another model: users and items are matched by their raw ids.

    Items that it does not know score -inf: it would never recommend them.

    Args:
        champion: the model to ask.
        model: the model whose indices are used.
        name: where the champion comes from, for people.
    """

    def __init__(self, champion: ModelFolder, model: ModelFolder, name: str) -> None:
        self.name, self.version = name, champion.version
        self._train, self._n_items = champion.train, champion.config.n_items
        self._scorer = Scorer(champion.config, champion.weights)
        self._user_of = _match(model.user_ids, champion.user_ids)
        self._item_of = _match(model.item_ids, champion.item_ids)

    def score_pairs(self, users: Indices, items: Indices) -> Scores:
        """Scores of users whom it knows: int [B], int [B, C] -> float32 [B, C]."""
        own = self._item_of[items]
        scores = self._scorer.score_pairs(self._user_of[users], np.maximum(own, 0))
        scores[own == _UNKNOWN] = -np.inf
        return scores

    def score_all(self, users: Indices) -> Scores:
        """Scores of users whom it knows: int [B] -> float32 [B, the model's items]."""
        scores = self._scorer.score_all(self._user_of[users])[:, self._item_of]
        scores[:, self._item_of == _UNKNOWN] = -np.inf
        return scores

    def comparable(self, test: Pairs) -> Comparable:
        """Which of the test positives, int [m, 2] in the model's indices, can be compared."""
        users, items = self._user_of[test[:, 0]], self._item_of[test[:, 1]]
        known = (users != _UNKNOWN) & (items != _UNKNOWN)
        fitted_on = known & _contains(self._train, users, items, self._n_items)
        return Comparable(known & ~fitted_on, int((~known).sum()), int(fitted_on.sum()))


def _match(ids: Strings, others: Strings) -> NDArray[np.int32]:
    """Index of each id among ``others``, int32 [len(ids)]; -1 where it is not."""
    place = {other: index for index, other in enumerate(others)}
    return np.array([place.get(name, _UNKNOWN) for name in ids], np.int32)


def _contains(train: ItemsByUser, users: Indices, items: Indices, n_items: int) -> NDArray[np.bool_]:
    """Whether each pair, int [n] and int [n], is an interaction of ``train``."""
    known = train.users().astype(np.int64) * n_items + train.items
    return np.isin(users.astype(np.int64) * n_items + items, known)
