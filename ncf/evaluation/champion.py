"""Comparison with the champion: the model that would be replaced. It may have other users and items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation import metrics
from ncf.evaluation.rankers import Indices, Scores
from ncf.models.scorer import Scorer

MIN_COMPARABLE = 100
"""Lowest number of test positives for a comparison by the gate, and of users for one on the whole catalogue."""
UNKNOWN = -1
"""Index of an id that the other model does not know."""


@dataclass(frozen=True)
class Comparable:
    """Test positives that a champion can be compared on.

    Attributes:
        rows: bool [m], positives with known user and item that the champion was not fitted on.
        unknown: number of positives whose user or item the champion does not know.
        leaked: number of positives that the champion was fitted on.
    """

    rows: NDArray[np.bool_]
    unknown: int
    leaked: int

    @property
    def too_few(self) -> str:
        """Reason for no comparison; '' if there is one."""
        count = int(self.rows.sum())
        if count >= MIN_COMPARABLE:
            return ""
        return (
            f"Only {count:,} of {len(self.rows):,} test positives can be compared: the champion does not know "
            f"{self.unknown:,} and was fitted on {self.leaked:,}. {MIN_COMPARABLE} are needed to compare the metrics."
        )


@dataclass(frozen=True)
class Comparison:
    """A model and its champion on the same test positives.

    Attributes:
        name: of the champion: folder, URI or endpoint.
        version: of the champion.
        comparable: test positives that are compared.
        owners: int32 [comparable], user of each compared positive.
        ranks: of ``model`` and ``champion``, int64 [comparable] among the candidates.
        users: int32 [u], users of the whole catalogue with comparable positives only; may be empty.
        catalogue: of ``model`` and ``champion`` on the whole catalogue; empty if ``users`` is.
    """

    name: str
    version: str
    comparable: Comparable
    owners: NDArray[np.int32]
    ranks: Mapping[str, metrics.Ranks]
    users: NDArray[np.int32]
    catalogue: Mapping[str, metrics.UserRanks]

    @property
    def metric(self) -> str:
        """Metric that the gate decides by: on the whole catalogue if enough users can be compared there."""
        return "full_ndcg_at_10" if len(self.users) >= MIN_COMPARABLE else "ndcg_at_10"


class Champion:
    """Scorer of another model, in the indices of the evaluated model. Users and items are matched by raw id.

    Items that the champion does not know score -inf, as it never recommends them.

    Args:
        champion: the other model.
        model: the evaluated model.
        name: of the champion: folder, URI or endpoint.

    Attributes:
        folder: of the champion.
    """

    def __init__(self, champion: ModelFolder, model: ModelFolder, name: str) -> None:
        self.name, self.version, self.folder = name, champion.version, champion
        self._train, self._n_items = champion.train, champion.config.n_items
        self._scorer = Scorer(champion.config, champion.weights, champion.train)
        users, items = (match(*ids) for ids in zip(model.evaluated_ids, champion.evaluated_ids, strict=True))
        self._user_of, self._item_of = users, items

    def score_pairs(self, users: Indices, items: Indices) -> Scores:
        """Scores of users that the champion knows: int [B], int [B, C] -> float32 [B, C]."""
        own = self._item_of[items]
        scores = self._scorer.score_pairs(self._user_of[users], np.maximum(own, 0))
        scores[own == UNKNOWN] = -np.inf
        return scores

    def score_all(self, users: Indices) -> Scores:
        """Scores of users that the champion knows: int [B] -> float32 [B, items of the model]."""
        scores = self._scorer.score_all(self._user_of[users])[:, self._item_of]
        scores[:, self._item_of == UNKNOWN] = -np.inf
        return scores

    def comparable(self, test: Pairs) -> Comparable:
        """Comparable test positives among ``test``, int [m, 2] in the indices of the model."""
        users, items = self._user_of[test[:, 0]], self._item_of[test[:, 1]]
        known = (users != UNKNOWN) & (items != UNKNOWN)
        fitted_on = known & _contains(self._train, users, items, self._n_items)
        return Comparable(known & ~fitted_on, int((~known).sum()), int(fitted_on.sum()))


def match(ids: Sequence[str], others: Sequence[str]) -> NDArray[np.int32]:
    """Index of each id in ``others``, int32 [len(ids)]; ``UNKNOWN`` for an unknown id."""
    index_of = {other: index for index, other in enumerate(others)}
    return np.array([index_of.get(name, UNKNOWN) for name in ids], np.int32)


def _contains(train: ItemsByUser, users: Indices, items: Indices, n_items: int) -> NDArray[np.bool_]:
    """Whether each pair, int [n] and int [n], is an interaction of ``train``."""
    known = train.users().astype(np.int64) * n_items + train.items
    return np.isin(users.astype(np.int64) * n_items + items, known)
