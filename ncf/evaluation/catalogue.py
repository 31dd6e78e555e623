"""Rankings of the whole catalogue: ranks of test positives, and recommended items."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation import metrics
from ncf.evaluation.lists import Diversity, self_information
from ncf.evaluation.rankers import ItemScorer
from ncf.models.ranker import top_k_indices
from ncf.progress import progress

LIST_LENGTH = 10
"""Length of the lists for coverage, popularity, diversity and novelty."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalogue:
    """Results of one ranker on the whole catalogue, without the positives that each user was fitted on.

    Attributes:
        ranked: ranks of the test positives of each user.
        recommended: int64 [n_items], number of users with the item among their first ten.
        popularity: float64 [users], mean popularity of the recommended items, 0 to 1.
        diversity: float64 [users], mean distance of the recommended items from each other, 0 to 1.
        novelty: float64 [users], mean self-information of the recommended items in bits.
    """

    ranked: metrics.UserRanks
    recommended: NDArray[np.int64]
    popularity: metrics.Floats
    diversity: metrics.Floats
    novelty: metrics.Floats


def draw_users(test: Pairs, most: int, seed: int) -> NDArray[np.int32]:
    """Sorted users of the test positives, at most ``most`` of them, drawn by ``seed``."""
    users = np.unique(test[:, 0])
    if len(users) > most:
        users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
    return users


def shares(train: ItemsByUser, n_items: int) -> metrics.Floats:
    """Popularity of each item: share of users with the item in training, float64 [n_items]."""
    return np.bincount(train.items, minlength=n_items) / max(train.n_users, 1)


def popularity_of_positives(train: ItemsByUser, n_items: int, test: Pairs, users: NDArray[np.integer[Any]]) -> float:
    """Mean popularity of the test positives of ``users``, as a mean over users."""
    rows = np.isin(test[:, 0], users)
    _, owner = np.unique(test[rows, 0], return_inverse=True)
    of_items = shares(train, n_items)[test[rows, 1]]
    return float((np.bincount(owner, of_items) / np.bincount(owner)).mean())


def rank(
    rankers: Mapping[str, ItemScorer], train: ItemsByUser, n_items: int, test: Pairs, users: NDArray[np.integer[Any]]
) -> dict[str, Catalogue]:
    """Rankings of the whole catalogue for some users, by each ranker.

    Args:
        rankers: by name.
        train: positives that the model was fitted on. They are masked.
        n_items: items of the catalogue.
        test: test positives, sorted by user. They are not masked.
        users: int [u], ascending; each has test positives.
    """
    _log.info("ranking the whole catalogue for %s users by %s", f"{len(users):,}", ", ".join(rankers))
    starts, ends = (np.searchsorted(test[:, 0], users, side=side) for side in ("left", "right"))
    popular, information, diversity_of = (
        shares(train, n_items),
        self_information(train, n_items),
        Diversity(train, n_items),
    )
    ranks: dict[str, list[metrics.Ranks]] = {name: [] for name in rankers}
    recommended = {name: np.zeros(n_items, np.int64) for name in rankers}
    popularity, diversity, novelty = ({name: np.zeros(len(users)) for name in rankers} for _ in range(3))
    with progress("ranking the whole catalogue", len(users), "users") as bar:
        for row, (user, start, end) in enumerate(zip(users.tolist(), starts, ends, strict=True)):
            fitted_on, positives = train.of_user(user), test[start:end, 1]
            for name, ranker in rankers.items():
                scores = ranker.score_all(users[row : row + 1])[0]  # [n_items]
                scores[fitted_on] = -np.inf
                best = top_k_indices(scores, LIST_LENGTH)
                best = best[scores[best] > -np.inf]
                recommended[name][best] += 1
                if len(best):
                    popularity[name][row] = popular[best].mean()
                    novelty[name][row] = information[best].mean()
                    diversity[name][row] = diversity_of.of_list(best)
                ranks[name].append(metrics.ranks_in_catalogue(scores, positives))
            bar.update(1)
    owner = np.repeat(np.arange(len(users)), ends - starts)
    return {
        name: Catalogue(
            ranked=metrics.UserRanks(owner, np.concatenate(ranks[name])),
            recommended=recommended[name],
            popularity=popularity[name],
            diversity=diversity[name],
            novelty=novelty[name],
        )
        for name in rankers
    }
