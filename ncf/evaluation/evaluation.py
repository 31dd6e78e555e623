"""Evaluation of a model on its test positives, beside baselines and a champion."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.errors import InputError
from ncf.evaluation import baselines, metrics
from ncf.evaluation.baselines import Baselines
from ncf.evaluation.catalogue import Catalogue, draw_users, popularity_of_positives, rank
from ncf.evaluation.champion import Champion, Comparable, Comparison
from ncf.evaluation.rankers import ItemScorer
from ncf.models.scorer import Scorer
from ncf.progress import progress

_PAIRS_PER_BLOCK = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Ranks of the test positives by a model, its baselines and its champion.

    Attributes:
        test: int32 [m, 2] test positives (user, item), sorted by user.
        ranks: of ``model`` and each baseline, int64 [m], among the candidates of each test positive.
        candidates: number of candidates beside each positive.
        users: int32 [u], users of the whole catalogue, ascending.
        catalogues: results of ``model`` and each baseline on the whole catalogue.
        test_popularity: mean popularity of the test positives of ``users``, 0 to 1.
        baselines: fitted, with their settings.
        comparison: with the champion, or None.
        no_comparison: reason for no comparison; '' if there is one.
        users_left_out: number of users with test positives but too few other items for the candidates.
    """

    test: Pairs
    ranks: Mapping[str, metrics.Ranks]
    candidates: int
    users: NDArray[np.int32]
    catalogues: Mapping[str, Catalogue]
    test_popularity: float
    baselines: Baselines
    comparison: Comparison | None = None
    no_comparison: str = ""
    users_left_out: int = 0


def evaluate(
    model: ModelFolder,
    samples: Samples,
    max_eval_users: int,
    seed: int,
    champion: Champion | None = None,
    no_champion: str = "",
) -> Evaluation:
    """Rank every test positive among its candidates, and those of some users in the whole catalogue.

    Args:
        model: to evaluate.
        samples: of the data set that the model was trained on.
        max_eval_users: largest number of users for the whole catalogue, drawn by ``seed``.
        seed: of the draw.
        champion: the model that would be replaced, or None.
        no_champion: reason for no champion.

    Raises:
        InputError: if the samples belong to another data set, or there are no test positives.
    """
    _check(model, samples)
    n_items, test = model.config.n_items, samples.test
    _log.info(
        "evaluating on %s test positives of %s users, %s items",
        *(f"{n:,}" for n in (len(test), len(np.unique(test[:, 0])), n_items)),
    )
    fitted = baselines.fit(model.train, n_items, samples.exclusion, samples.validation)
    rankers: dict[str, ItemScorer] = {"model": Scorer(model.config, model.weights, model.train), **fitted.rankers}
    all_rows = np.ones(len(test), bool)
    ranks = {name: _ranks(name, ranker, samples, all_rows) for name, ranker in rankers.items()}
    users = draw_users(test, max_eval_users, seed)
    catalogues = rank(rankers, model.train, n_items, test, users)
    comparison = None
    if champion is not None:
        comparable = champion.comparable(test)
        no_champion = comparable.too_few
        if not no_champion:
            comparison = _compare(champion, comparable, model, samples, ranks["model"], users, catalogues["model"])
    of_test = popularity_of_positives(model.train, n_items, test, users)
    candidates = samples.test_candidates.shape[1]
    return Evaluation(
        test=test,
        ranks=ranks,
        candidates=candidates,
        users=users,
        catalogues=catalogues,
        test_popularity=of_test,
        baselines=fitted,
        comparison=comparison,
        no_comparison=no_champion,
        users_left_out=samples.left_out,
    )


def compare(
    model: ModelFolder, champion: Champion, samples: Samples, max_eval_users: int, seed: int
) -> tuple[Comparison | None, str]:
    """Comparison of a model with a champion alone, without baselines; None, and the reason, if there is none.

    Args:
        model: to compare.
        champion: the other model.
        samples: of the data set that ``model`` was trained on.
        max_eval_users: largest number of users for the whole catalogue, drawn by ``seed``.
        seed: of the draw.

    Raises:
        InputError: if the samples belong to another data set, or there are no test positives.
    """
    _check(model, samples)
    comparable = champion.comparable(samples.test)
    if comparable.too_few:
        return None, comparable.too_few
    scorer = Scorer(model.config, model.weights, model.train)
    users = draw_users(samples.test, max_eval_users, seed)
    ranks = _ranks("model", scorer, samples, np.ones(len(samples.test), bool))
    catalogue = rank({"model": scorer}, model.train, model.config.n_items, samples.test, users)["model"]
    return _compare(champion, comparable, model, samples, ranks, users, catalogue), ""


def _check(model: ModelFolder, samples: Samples) -> None:
    """
    Raises:
        InputError: if the samples belong to another data set, or there are no test positives.
    """
    if (samples.n_users, samples.n_items) != (model.config.n_users, model.config.n_items):
        raise InputError(
            f"samples: {samples.n_users} users and {samples.n_items} items, but the model has {model.config.n_users} "
            f"and {model.config.n_items}; expected the samples of the model's data set"
        )
    if not len(samples.test):
        raise InputError("samples: no test positives; expected one or more: see parameter 'split' of preprocess")


def _compare(
    champion: Champion,
    comparable: Comparable,
    model: ModelFolder,
    samples: Samples,
    ranks: metrics.Ranks,
    users: NDArray[np.int32],
    catalogue: Catalogue,
) -> Comparison:
    """Comparison on the comparable positives, with the ``ranks`` and ``catalogue`` of the model for ``users``."""
    whole = ~np.isin(users, samples.test[~comparable.rows, 0])  # users with comparable positives only
    ranked = {}
    if whole.any():
        own = rank({"champion": champion}, model.train, model.config.n_items, samples.test, users[whole])
        ranked = {"model": catalogue.ranked.of_users(whole), "champion": own["champion"].ranked}
    return Comparison(
        name=champion.name,
        version=champion.version,
        comparable=comparable,
        owners=samples.test[comparable.rows, 0],
        ranks={
            "model": ranks[comparable.rows],
            "champion": _ranks("champion", champion, samples, comparable.rows),
        },
        users=users[whole],
        catalogue=ranked,
    )


def _ranks(name: str, ranker: ItemScorer, samples: Samples, rows: NDArray[np.bool_]) -> metrics.Ranks:
    """Ranks of the test positives in ``rows``, bool [m], among their candidates, int64 [true rows]."""
    pairs, candidates = samples.test[rows], samples.test_candidates[rows]
    found = np.empty(len(pairs), np.int64)
    step = max(1, _PAIRS_PER_BLOCK // (candidates.shape[1] + 1))
    with progress(f"ranking test positives by {name}", len(pairs), "positives") as bar:
        for start in range(0, len(pairs), step):
            users, positives = pairs[start : start + step].T
            others = candidates[start : start + step]
            scores = ranker.score_pairs(users, np.column_stack([positives, others]))  # the positive first
            # the candidates of the NCF release may contain the positive
            found[start : start + step] = metrics.ranks_among_candidates(
                scores[:, 0], scores[:, 1:], others == positives[:, None]
            )
            bar.update(len(users))
    return found
