"""Settings of the baselines, chosen by NDCG@10 of the validation positives on the whole catalogue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation import metrics
from ncf.evaluation.ease import REGULARISATION, cooccurrence_matrix, mean_interactions, sparse_ease, weights_of_counts
from ncf.evaluation.item_knn import item_knn
from ncf.evaluation.limits import TUNING_EASE_ITEMS, TUNING_SPARSE_EASE_ITEMS, TUNING_USERS
from ncf.evaluation.rankers import ItemScorer, ItemToItem
from ncf.progress import progress

NEIGHBOURS = 100
"""Neighbours of item-kNN where there are no validation items to choose by."""
_NEIGHBOURS = (20, 50, 100, 200)
_SHRINKAGES = (0.0, 10.0, 50.0)
_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Lambda of EASE divided by the mean number of interactions of an item."""
_CUTOFF = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """Data to choose settings by.

    Attributes:
        train: items of each user, without the validation positives.
        counted: the users of ``train``, or a part of them, whose co-occurrences are counted.
        n_items: items of the catalogue.
        positives: int32 [n, 2] validation positives (user, item), sorted by user.
    """

    train: ItemsByUser
    counted: ItemsByUser
    n_items: int
    positives: Pairs

    @classmethod
    def drawn(cls, train: ItemsByUser, counted: ItemsByUser, n_items: int, positives: Pairs, seed: int) -> Validation:
        """Validation positives of 2,000 users at most, drawn by ``seed``. The other arguments are the attributes."""
        users = np.unique(positives[:, 0])
        if len(users) > TUNING_USERS:
            users = np.random.default_rng(seed).choice(users, TUNING_USERS, replace=False)
        return cls(train, counted, n_items, positives[np.isin(positives[:, 0], users)])

    @property
    def n_users(self) -> int:
        """Number of users with validation positives."""
        return len(np.unique(self.positives[:, 0]))

    def ndcg(self, ranker: ItemScorer) -> float:
        """NDCG@10 on the whole catalogue, as a mean over the users."""
        users, starts = np.unique(self.positives[:, 0], return_index=True)
        ends = np.append(starts[1:], len(self.positives))
        ranks = []
        for user, start, end in zip(users, starts.tolist(), ends.tolist(), strict=True):
            scores = ranker.score_all(np.array([user]))[0]
            scores[self.train.of_user(int(user))] = -np.inf
            ranks.append(metrics.ranks_in_catalogue(scores, self.positives[start:end, 1]))
        owner = np.repeat(np.arange(len(users)), ends - starts)
        return float(metrics.user_ndcg(metrics.UserRanks(owner, np.concatenate(ranks)), _CUTOFF).mean())

    @property
    def unit(self) -> float:
        """Unit of lambda: the mean number of interactions of an item that are counted."""
        return mean_interactions(self.counted, self.n_items)

    @property
    def users_for_each_counted(self) -> float:
        return self.train.n_users / max(self.counted.n_users, 1)

    def of_most_popular(self, most: int) -> Validation:
        """The data of the ``most`` items with the most interactions."""
        popularity = np.bincount(self.train.items, minlength=self.n_items)
        return self.of_items(np.sort(np.argsort(-popularity, kind="stable")[:most]).astype(np.int32))

    def of_items(self, items: NDArray[np.int32]) -> Validation:
        """The data of some items, int32 [n] ascending, which are numbered from 0."""
        position = np.full(self.n_items, -1, np.int32)
        position[items] = np.arange(len(items), dtype=np.int32)

        def kept(of_all: ItemsByUser) -> ItemsByUser:
            rows = position[of_all.items] >= 0
            return ItemsByUser.of_sorted(of_all.users()[rows], position[of_all.items[rows]], of_all.n_users)

        positives = self.positives[position[self.positives[:, 1]] >= 0]
        positives = np.column_stack([positives[:, 0], position[positives[:, 1]]])
        return Validation(kept(self.train), kept(self.counted), len(items), positives)


def regularisation_of_ease(validation: Validation) -> float:
    """Lambda of EASE with the best NDCG@10, of 1/4 to 32 times the mean number of interactions of an item.

    The search begins at the default and follows the better neighbour until there is none. Of more than 4,000 items the
    most popular ones alone are used.
    """
    some = validation.of_most_popular(TUNING_EASE_ITEMS)
    if not len(some.positives):
        return REGULARISATION * mean_interactions(validation.train, validation.n_items)
    _log.info("choosing the regularisation of EASE on %s validation users", f"{some.n_users:,}")
    gram = cooccurrence_matrix(some.counted, some.n_items)
    with progress("choosing the regularisation of EASE", len(_FACTORS), "fits") as bar:

        def score(factor: float) -> float:
            bar.update(1)
            weights = weights_of_counts(gram.copy(), factor * some.unit)
            np.fill_diagonal(weights, 0)
            return some.ndcg(ItemToItem(weights, some.train))

        factor = climb(_FACTORS, REGULARISATION, score)
    return factor * some.unit * some.users_for_each_counted


def regularisation_of_sparse_ease(validation: Validation) -> float:
    """The same of sparse EASE: all values are tried. Of more than 25,000 items the most popular ones alone are used."""
    some = validation.of_most_popular(TUNING_SPARSE_EASE_ITEMS)
    if not len(some.positives):
        return REGULARISATION * mean_interactions(validation.train, validation.n_items)
    _log.info("choosing the regularisation of sparse EASE on %s validation users", f"{some.n_users:,}")
    found = sparse_ease(some.counted, some.n_items, [factor * some.unit for factor in _FACTORS])
    scores = [some.ndcg(ranker.for_users(some.train)) for ranker in found]
    return _FACTORS[int(np.argmax(scores))] * some.unit * some.users_for_each_counted


def climb(values: Sequence[float], start: float, score: Callable[[float], float]) -> float:
    """The value with the highest score, searched from ``start`` to the better side while scores rise.

    Args:
        values: ascending, with ``start``.
        start: the first value.
        score: of a value. It is called once for each value that is tried.
    """
    known = {start: score(start)}
    best = values.index(start)
    for step in (1, -1):
        while 0 <= best + step < len(values):
            value = values[best + step]
            if value in known:
                break
            known[value] = score(value)
            if known[value] <= known[values[best]]:
                break
            best += step
    return values[best]


def settings_of_item_knn(validation: Validation) -> tuple[int, float]:
    """Number of neighbours of item-kNN with the best NDCG@10, and then the shrinkage."""
    _log.info("choosing the neighbours of item-kNN on %s validation users", f"{validation.n_users:,}")
    found = item_knn(validation.counted, validation.n_items, max(_NEIGHBOURS), _SHRINKAGES)
    with progress("choosing the neighbours of item-kNN", len(_NEIGHBOURS) + len(_SHRINKAGES) - 1, "rankings") as bar:

        def score(neighbours: int, shrinkage: float) -> float:
            bar.update(1)
            ranker = found[_SHRINKAGES.index(shrinkage)].nearest_only(neighbours)
            return validation.ndcg(ranker.for_users(validation.train))

        of_neighbours = {neighbours: score(neighbours, _SHRINKAGES[0]) for neighbours in _NEIGHBOURS}
        best = max(of_neighbours, key=lambda neighbours: of_neighbours[neighbours])
        of_shrinkages = {_SHRINKAGES[0]: of_neighbours[best]}
        of_shrinkages |= {shrinkage: score(best, shrinkage) for shrinkage in _SHRINKAGES[1:]}
    return best, max(of_shrinkages, key=lambda shrinkage: of_shrinkages[shrinkage])
