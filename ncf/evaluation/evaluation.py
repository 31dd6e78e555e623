"""A model against its test positives: their ranks beside those of baselines and of a champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.dataset import Pairs
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.errors import InputError
from ncf.evaluation import baselines, metrics
from ncf.evaluation.catalogue import Catalogue, draw_users, rank, taken_popularity
from ncf.evaluation.champion import Champion, Comparable, Comparison
from ncf.evaluation.rankers import Ranker
from ncf.models.scorer import Scorer
from ncf.progress import progress

_PAIRS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Evaluation:
    """All that a report says of a model.

    Attributes:
        test: int32 [m, 2] test positives (user, item), sorted by user.
        places: for ``model`` and each baseline, int64 [m] ranks of the test positives among their candidates.
        candidates: candidates beside each positive.
        users: int32 [u], users that the full catalogue is ranked for, ascending.
        catalogues: for ``model`` and each baseline, the full catalogue.
        taken_popularity: mean popularity of what these users took, see :func:`catalogue.taken_popularity`.
        left_out: why baselines are missing.
        comparison: with the champion, if there is one.
        no_comparison: why there is none.
    """

    test: Pairs
    places: Mapping[str, metrics.Ranks]
    candidates: int
    users: NDArray[np.int32]
    catalogues: Mapping[str, Catalogue]
    taken_popularity: float
    left_out: list[str]
    comparison: Comparison | None = None
    no_comparison: str = ""


def evaluate(
    model: ModelFolder,
    samples: Samples,
    max_eval_users: int,
    seed: int,
    champion: Champion | None = None,
    no_champion: str = "",
) -> Evaluation:
    """Rank every test positive among its candidates, and some users' in the full catalogue.

    Args:
        model: as it will be hosted.
        samples: of the data set that the model was trained on.
        max_eval_users: users at most for the full catalogue, drawn by ``seed``.
        seed: of that draw.
        champion: the model that this one would replace.
        no_champion: why there is none.

    Raises:
        InputError: if the samples are of another data set, or nothing is held out for the test.
    """
    n_items, test = model.config.n_items, samples.test
    if (samples.n_users, samples.n_items) != (model.config.n_users, n_items):
        raise InputError(
            f"samples: {samples.n_users} users and {samples.n_items} items, but the model has {model.config.n_users} "
            f"and {n_items}: they were made from another data set than the model"
        )
    if not len(test):
        raise InputError("samples: no test positives, so there is nothing to evaluate; see preprocess's 'split'")
    others, left_out = baselines.rankers(model)
    rankers: dict[str, Ranker] = {"model": Scorer(model.config, model.weights), **others}
    every = np.ones(len(test), bool)
    places = {name: _places(name, ranker, samples, every) for name, ranker in rankers.items()}
    users = draw_users(test, max_eval_users, seed)
    catalogues = rank(rankers, model.train, n_items, test, users)
    comparison = None
    if champion is not None:
        comparable = champion.comparable(test)
        no_champion = comparable.too_few
        if not no_champion:
            comparison = _compare(champion, comparable, model, samples, places["model"], users, catalogues["model"])
    taken = taken_popularity(model.train, n_items, test, users)
    candidates = samples.test_candidates.shape[1]
    return Evaluation(test, places, candidates, users, catalogues, taken, left_out, comparison, no_champion)


def _compare(
    champion: Champion,
    comparable: Comparable,
    model: ModelFolder,
    samples: Samples,
    places: metrics.Ranks,
    users: NDArray[np.int32],
    catalogue: Catalogue,
) -> Comparison:
    """The champion on what is comparable, beside the model's own ``places`` and ``catalogue`` of ``users``."""
    whole = ~np.isin(users, samples.test[~comparable.rows, 0])  # of these, every positive is comparable
    ranked = {}
    if whole.any():
        own = rank({"champion": champion}, model.train, model.config.n_items, samples.test, users[whole])
        ranked = {"model": catalogue.ranked.of_users(whole), "champion": own["champion"].ranked}
    return Comparison(
        name=champion.name,
        version=champion.version,
        comparable=comparable,
        places={
            "model": places[comparable.rows],
            "champion": _places("champion", champion, samples, comparable.rows),
        },
        users=users[whole],
        catalogue=ranked,
    )


def _places(name: str, ranker: Ranker, samples: Samples, rows: NDArray[np.bool_]) -> metrics.Ranks:
    """Ranks of the test positives in ``rows``, bool [m], among their candidates: int64 [rows that are True]."""
    pairs, candidates = samples.test[rows], samples.test_candidates[rows]
    found = np.empty(len(pairs), np.int64)
    step = max(1, _PAIRS_AT_ONCE // (candidates.shape[1] + 1))
    with progress(f"ranking test positives by {name}", len(pairs), "positives") as bar:
        for start in range(0, len(pairs), step):
            users, positives = pairs[start : start + step].T
            rivals = candidates[start : start + step]
            scores = ranker.score_pairs(users, np.column_stack([positives, rivals]))  # the positive first
            # the NCF release has positives among their own candidates
            found[start : start + step] = metrics.ranks(scores[:, 0], scores[:, 1:], rivals == positives[:, None])
            bar.update(len(users))
    return found
