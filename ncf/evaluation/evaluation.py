"""A model against its test positives: ranks, metrics beside the baselines, and the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncf.data.dataset import Pairs
from ncf.data.items_by_user import ItemsByUser
from ncf.errors import InputError
from ncf.evaluation import baselines, metrics
from ncf.models.model_folder import ModelFolder
from ncf.models.scorer import Scorer, best_places
from ncf.progress import progress
from ncf.sampling.samples import Samples

CUTOFFS = (1, 5, 10, 20)
GATE_CUTOFF = 10
_PAIRS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Catalogue:
    """A model on the full catalogue, for a part of the test positives.

    Attributes:
        places: int64 [n], rank of each positive among all items that its user was not fitted on.
        recommended: int64 [n_items], how many of those users have the item among their first ten.
        users: how many users that is.
        popularity: mean share of users that interacted with a recommended item in training, in 0..1.
    """

    places: metrics.Ranks
    recommended: NDArray[np.int64]
    users: int
    popularity: float


@dataclass(frozen=True)
class Evaluation:
    """All that a report says of a model.

    Attributes:
        places: for ``model`` and each baseline, int64 [m] ranks of the test positives among their candidates.
        candidates: candidates beside each positive.
        catalogue: the same on the full catalogue.
        left_out: why a baseline is missing.
    """

    places: Mapping[str, metrics.Ranks]
    candidates: int
    catalogue: Catalogue
    left_out: str


def evaluate(model: ModelFolder, samples: Samples, max_eval_users: int, seed: int) -> Evaluation:
    """Rank every test positive among its candidates, and some in the full catalogue.

    Args:
        model: as it will be hosted.
        samples: of the data set that the model was trained on.
        max_eval_users: users at most for the full catalogue, drawn by ``seed``.
        seed: of that draw.

    Raises:
        InputError: if the samples are of another data set, or nothing is held out for the test.
    """
    if (samples.n_users, samples.n_items) != (model.config.n_users, model.config.n_items):
        raise InputError(
            f"samples: {samples.n_users} users and {samples.n_items} items, but the model has {model.config.n_users} "
            f"and {model.config.n_items}: they were made from another data set than the model"
        )
    if not len(samples.test):
        raise InputError("samples: no test positives, so there is nothing to evaluate; see preprocess's 'split'")
    users, positives = samples.test[:, 0], samples.test[:, 1]
    items = np.column_stack([positives, samples.test_candidates])  # [m, 1 + c], the positive first
    masked = samples.test_candidates == positives[:, None]  # the NCF release has such rows
    scorer = Scorer(model.config, model.weights)

    scores: dict[str, NDArray[np.floating]] = {
        "model": _score(scorer, users, items),
        "popularity": baselines.popularity(model.popularity, items),
    }
    left_out = baselines.why_no_item_knn(model.train, model.config.n_items)
    if not left_out:
        scores["item_knn"] = baselines.item_knn(model.train, model.config.n_items, users, items)
    places = {name: metrics.ranks(table[:, 0], table[:, 1:], masked) for name, table in scores.items()}
    catalogue = _catalogue(scorer, model.train, samples.test, max_eval_users, seed)
    return Evaluation(places, samples.test_candidates.shape[1], catalogue, left_out)


def _score(scorer: Scorer, users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float32]:
    scores = np.empty(items.shape, np.float32)
    step = max(1, _PAIRS_AT_ONCE // items.shape[1])
    with progress("ranking test positives", len(users), "positives") as bar:
        for start in range(0, len(users), step):
            scores[start : start + step] = scorer.score_pairs(users[start : start + step], items[start : start + step])
            bar.update(len(users[start : start + step]))
    return scores


def _catalogue(scorer: Scorer, train: ItemsByUser, test: Pairs, max_eval_users: int, seed: int) -> Catalogue:
    """Ranks in the full catalogue without what the model was fitted on; a positive never competes with another."""
    users = np.unique(test[:, 0])
    if len(users) > max_eval_users:
        users = np.sort(np.random.default_rng(seed).choice(users, max_eval_users, replace=False))
    n_items = scorer.config.n_items
    starts = np.searchsorted(test[:, 0], users, side="left")
    ends = np.searchsorted(test[:, 0], users, side="right")
    recommended = np.zeros(n_items, np.int64)
    popular = np.bincount(train.items, minlength=n_items) / max(train.n_users, 1)
    places: list[metrics.Ranks] = []
    popularity = 0.0
    with progress("ranking the full catalogue", len(users), "users") as bar:
        for user, start, end in zip(users.tolist(), starts, ends, strict=True):
            scores = scorer.score_all(np.array([user]))[0]  # [n_items]
            scores[train.of_user(user)] = -np.inf
            best = best_places(scores, GATE_CUTOFF)
            best = best[scores[best] > -np.inf]
            recommended[best] += 1
            popularity += float(popular[best].mean()) if len(best) else 0.0
            positives = test[start:end, 1]
            own = scores[positives].copy()
            shape = (len(own), n_items)
            scores[positives] = -np.inf
            places.append(metrics.ranks(own, np.broadcast_to(scores, shape), np.zeros(shape, bool)))
            bar.update(1)
    return Catalogue(np.concatenate(places), recommended, len(users), popularity / len(users))


def summarise(evaluation: Evaluation, resamples: int, seed: int) -> dict[str, float]:
    """All metrics by name, finite numbers alone: ``hr_at_10``, ``popularity_ndcg_at_10``, ``full_hr_at_10``, ..."""
    values: dict[str, float] = {}
    for name, places in evaluation.places.items():
        prefix = "" if name == "model" else f"{name}_"
        for cutoff in CUTOFFS:
            values[f"{prefix}hr_at_{cutoff}"] = float(metrics.hits(places, cutoff).mean())
            values[f"{prefix}ndcg_at_{cutoff}"] = float(metrics.ndcg(places, cutoff).mean())
        values[f"{prefix}mrr"] = float(metrics.reciprocal_ranks(places).mean())
    for metric, of in (("hr", metrics.hits), ("ndcg", metrics.ndcg)):
        name = f"{metric}_at_{GATE_CUTOFF}"
        own = of(evaluation.places["model"], GATE_CUTOFF)
        gain = own - of(evaluation.places["popularity"], GATE_CUTOFF)
        values[f"{name}_low"], values[f"{name}_high"] = metrics.bootstrap(own, resamples, seed)
        values[f"{name}_gain_low"], values[f"{name}_gain_high"] = metrics.bootstrap(gain, resamples, seed)
    full = evaluation.catalogue
    values |= {
        "full_hr_at_10": float(metrics.hits(full.places, GATE_CUTOFF).mean()),
        "full_ndcg_at_10": float(metrics.ndcg(full.places, GATE_CUTOFF).mean()),
        "full_mrr": float(metrics.reciprocal_ranks(full.places).mean()),
        "coverage_at_10": float((full.recommended > 0).mean()),
        "gini_at_10": metrics.gini(full.recommended),
        "recommended_popularity": full.popularity,
        "test_positives": float(len(evaluation.places["model"])),
        "full_users": float(full.users),
    }
    return values


@dataclass(frozen=True)
class Check:
    """One condition of the gate, in words, and whether it holds."""

    text: str
    passed: bool


def gate(values: Mapping[str, float], min_hr_at_10: float, not_worse_than_popularity: bool) -> list[Check]:
    """The conditions under which a model is deployed: all must hold."""
    checks = []
    if min_hr_at_10 > 0:
        hr = values["hr_at_10"]
        passed = hr >= min_hr_at_10
        checks.append(Check(f"HR@10 is {hr:.4f}; at least {min_hr_at_10:g} is asked for (min_hr_at_10)", passed))
    if not_worse_than_popularity:
        for metric, label in (("hr_at_10", "HR@10"), ("ndcg_at_10", "NDCG@10")):
            own, bar = values[metric], values[f"popularity_{metric}"]
            checks.append(Check(f"{label} is {own:.4f}; popularity's is {bar:.4f}", own >= bar))
    return checks
