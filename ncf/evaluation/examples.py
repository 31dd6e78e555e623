"""Examples of recommendations: what the model recommends to a few test users, beside their history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation.catalogue import LIST_LENGTH
from ncf.models.ranker import top_k_indices
from ncf.models.scorer import Scorer

_QUANTILES = (0.125, 0.375, 0.625, 0.875)
"""Quantiles of the activity of the users that are shown: the middles of its quarters."""


@dataclass(frozen=True)
class Example:
    """A test user with recommendations.

    Attributes:
        user: index.
        interactions: number of interactions that the model was fitted on.
        history: int [h], the latest of these, the latest first; by index if there are no times.
        days: int [h], days since 1970 UTC of ``history``; None without times.
        recommended: int [k], items, the best first. Items that the model was fitted on are left out.
        test: int [t], the user's test items.
    """

    user: int
    interactions: int
    history: NDArray[np.int32]
    days: NDArray[np.int32] | None
    recommended: NDArray[np.int32]
    test: NDArray[np.int32]


def examples(model: ModelFolder, test: Pairs) -> Sequence[Example]:
    """Recommendations for up to four test users, one of each quarter by activity.

    Args:
        model: the evaluated model.
        test: int [m, 2], test positives (user, item), sorted by user.
    """
    users = np.unique(test[:, 0])
    by_activity = users[np.argsort(model.train.counts()[users], kind="stable")]
    chosen = dict.fromkeys(by_activity[int(quantile * len(users))] for quantile in _QUANTILES)
    scorer = Scorer(model.config, model.weights, model.train)
    return [_example(model, scorer, int(user), test[test[:, 0] == user, 1]) for user in chosen]


def _example(model: ModelFolder, scorer: Scorer, user: int, test: NDArray[np.int32]) -> Example:
    fitted_on = model.train.of_user(user)
    scores = scorer.score_all(np.array([user], np.int32))[0].copy()  # [n_items]
    scores[fitted_on] = -np.inf
    best = top_k_indices(scores, LIST_LENGTH)
    history, days = np.asarray(fitted_on), None
    if model.seen_days is not None:
        seen = slice(*model.seen.offsets[user : user + 2].tolist())
        known = np.isin(model.seen.items[seen], fitted_on)
        history, days = model.seen.items[seen][known], model.seen_days[seen][known]
        history, days = history[::-1], days[::-1][:LIST_LENGTH]  # the latest first
    return Example(
        user=user,
        interactions=len(fitted_on),
        history=history[:LIST_LENGTH].astype(np.int32),
        days=days,
        recommended=best[scores[best] > -np.inf].astype(np.int32),
        test=test,
    )
