"""Summary of an evaluation: metrics with confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import LEFT_OUT
from ncf.evaluation import metrics
from ncf.evaluation.champion import Comparison
from ncf.evaluation.evaluation import Evaluation
from ncf.evaluation.groups import Group, by_activity, by_popularity
from ncf.evaluation.intervals import Estimate, estimate
from ncf.evaluation.names import in_order

CUTOFFS = (1, 5, 10, 20)
FULL_CUTOFFS = (5, 10, 20)
CUTOFF = 10
"""Cutoff of the intervals and of the gate."""

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True)
class ChampionSummary:
    """Metrics of a model and its champion on the same test positives.

    Attributes:
        model, champion: ``hr_at_10``, ``ndcg_at_10`` and, if users can be compared on the whole catalogue,
            ``full_hr_at_10`` and so on.
        gains: model minus champion, paired.
        metric: that the gate decides by, ``full_ndcg_at_10`` or ``ndcg_at_10``.
    """

    model: Estimates
    champion: Estimates
    gains: Estimates
    metric: str


@dataclass(frozen=True)
class GroupSummary:
    """Metrics of a group of test positives.

    Attributes:
        name: of the group, with its range.
        positives: number of test positives.
        of_rankers: ranker -> ``hr_at_10`` and ``ndcg_at_10``.
    """

    name: str
    positives: int
    of_rankers: Mapping[str, Estimates]


@dataclass(frozen=True)
class Summary:
    """All metrics of an evaluation.

    Attributes:
        values: main metrics by flat name, all finite: first those on the whole catalogue, ``full_ndcg_at_10``,
            ``ease_full_hr_at_10``, ..., then those among the drawn items, ``hr_at_10``, ``popularity_ndcg_at_10``, ...
        of_rankers: ranker -> metric at 10 -> estimate; ``hr_at_10``, ``full_recall_at_10``, ...
        gains: baseline -> metric at 10 -> model minus baseline, paired.
        full: ranker -> metric at 5, 10 and 20 on the whole catalogue.
        activity, popularity: groups of test positives.
        champion: comparison with the champion, or None.
        candidates: number of drawn items beside each test item of the sampled protocol.
        baselines: settings of the baselines.
        chosen_on: number of validation users that these were chosen on; 0 for the defaults.
    """

    values: Mapping[str, float]
    of_rankers: Mapping[str, Estimates]
    gains: Mapping[str, Estimates]
    full: Mapping[str, Mapping[str, float]]
    activity: Sequence[GroupSummary]
    popularity: Sequence[GroupSummary]
    champion: ChampionSummary | None
    candidates: int
    baselines: Mapping[str, Mapping[str, float]]
    chosen_on: int

    @property
    def best_baseline(self) -> str:
        """The baseline with the highest NDCG@10 on the whole catalogue; the first of equal ones."""
        return max(in_order(self.gains), key=lambda name: self.of_rankers[name][f"full_ndcg_at_{CUTOFF}"].mean)

    def content(self) -> dict[str, Any]:
        """Content of the metrics file: the flat values, which KFP shows, and all others in ``details``."""
        details = {
            "best_baseline": self.best_baseline,
            "settings_of_baselines": self.baselines,
            "validation_users_of_baselines": self.chosen_on,
            "intervals": {name: _named(found) for name, found in self.of_rankers.items()},
            "gains": {name: _named(found) for name, found in self.gains.items()},
            "full_catalogue": self.full,
            "groups_by_activity": [_of_group(group) for group in self.activity],
            "groups_by_popularity": [_of_group(group) for group in self.popularity],
        }
        return {**self.values, "details": details}


def summarise(model: ModelFolder, evaluation: Evaluation, resamples: int, seed: int) -> Summary:
    """All metrics of an evaluation.

    Args:
        model: evaluated model.
        evaluation: of the model.
        resamples: of each interval.
        seed: of the resamples.
    """
    of_rankers, gains = _estimates(
        evaluation.ranks,
        {name: catalogue.ranked for name, catalogue in evaluation.catalogues.items()},
        evaluation.test[:, 0],
        evaluation.users,
        resamples,
        seed,
    )
    full = {
        name: {
            f"{metric}_at_{cutoff}": float(of(catalogue.ranked, cutoff).mean())
            for metric, of in metrics.FULL.items()
            for cutoff in FULL_CUTOFFS
        }
        for name, catalogue in evaluation.catalogues.items()
    }
    values = _flat(evaluation, of_rankers, gains)
    champion = None
    if evaluation.comparison is not None:
        champion = summarise_champion(evaluation.comparison, resamples, seed)
        values |= _flat_champion(champion, evaluation.comparison)

    def of_groups(groups: Sequence[Group]) -> list[GroupSummary]:
        return [_group(group, evaluation, resamples, seed) for group in groups]

    return Summary(
        values=values,
        of_rankers=of_rankers,
        gains=gains,
        full=full,
        activity=of_groups(by_activity(model.train, evaluation.test[:, 0])),
        popularity=of_groups(by_popularity(model.popularity, evaluation.test)),
        champion=champion,
        candidates=evaluation.candidates,
        baselines=evaluation.baselines.settings,
        chosen_on=evaluation.baselines.chosen_on,
    )


def prefix_of(ranker: str) -> str:
    """Prefix of the flat names of the metrics of a ranker."""
    return "" if ranker == "model" else f"{ranker}_"


def _estimates(
    ranks: Mapping[str, metrics.Ranks],
    ranked: Mapping[str, metrics.UserRanks],
    owners: NDArray[np.int32],
    users: NDArray[np.int32],
    resamples: int,
    seed: int,
) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[str, Estimate]]]:
    """Estimates at 10 of every ranker, and of the gains of the model over each other ranker.

    Args:
        ranks: ranker -> ranks of test positives among candidates, int64 [m].
        ranked: ranker -> ranks in the whole catalogue; may be empty.
        owners: int32 [m], users of the test positives.
        users: int32 [u], users of the whole catalogue.
        resamples: of each interval.
        seed: of the resamples.
    """
    sampled = {
        (name, f"{metric}_at_{CUTOFF}"): of(of_ranker, CUTOFF)
        for name, of_ranker in ranks.items()
        for metric, of in metrics.SAMPLED.items()
    }
    full = {
        (name, f"full_{metric}_at_{CUTOFF}"): of(of_ranker, CUTOFF)
        for name, of_ranker in ranked.items()
        for metric, of in metrics.FULL.items()
    }
    of_rankers: dict[str, dict[str, Estimate]] = {name: {} for name in ranks}
    gains: dict[str, dict[str, Estimate]] = {name: {} for name in ranks if name != "model"}
    for columns, of_rows in ((full, users), (sampled, owners)):
        if not columns:
            continue
        differences = {
            ("gain", name, metric): columns["model", metric] - column
            for (name, metric), column in columns.items()
            if name != "model"
        }
        found = estimate({**columns, **differences}, of_rows, resamples, seed)
        for name, metric in columns:
            of_rankers[name][metric] = found[name, metric]
        for _, name, metric in differences:
            gains[name][metric] = found["gain", name, metric]
    return of_rankers, gains


def summarise_champion(comparison: Comparison, resamples: int, seed: int) -> ChampionSummary:
    """Metrics of both models of a comparison.

    Args:
        comparison: of a model with its champion.
        resamples: of each interval.
        seed: of the resamples.
    """
    found, gains = _estimates(
        comparison.ranks, comparison.catalogue, comparison.owners, comparison.users, resamples, seed
    )
    return ChampionSummary(found["model"], found["champion"], gains["champion"], comparison.metric)


def _group(group: Group, evaluation: Evaluation, resamples: int, seed: int) -> GroupSummary:
    ranks = {name: of_ranker[group.rows] for name, of_ranker in evaluation.ranks.items()}
    owners = evaluation.test[group.rows, 0]
    found, _ = _estimates(ranks, {}, owners, evaluation.users, resamples, seed)
    return GroupSummary(group.name, int(group.rows.sum()), found)


def _of_group(group: GroupSummary) -> dict[str, Any]:
    of_rankers = {name: _named(found) for name, found in group.of_rankers.items()}
    return {"group": group.name, "test_positives": group.positives, "of_rankers": of_rankers}


def _named(found: Estimates) -> dict[str, dict[str, float]]:
    """Estimates as JSON objects."""
    return {metric: of_metric._asdict() for metric, of_metric in found.items()}


def _flat(
    evaluation: Evaluation, of_rankers: Mapping[str, Estimates], gains: Mapping[str, Estimates]
) -> dict[str, float]:
    values: dict[str, float] = {}
    best = max(gains, key=lambda name: of_rankers[name][f"full_ndcg_at_{CUTOFF}"].mean)
    for metric in (f"full_{name}_at_{CUTOFF}" for name in ("ndcg", "hr", "recall")):
        values |= _bounds(metric, of_rankers["model"][metric])
    values |= _bounds(f"full_ndcg_at_{CUTOFF}_gain_over_best", gains[best][f"full_ndcg_at_{CUTOFF}"])
    for name, catalogue in evaluation.catalogues.items():
        prefix = prefix_of(name)
        values |= {f"{prefix}{metric}": found.mean for metric, found in of_rankers[name].items() if "full" in metric}
        values |= {
            f"{prefix}full_mrr": float(
                metrics.user_reciprocal_ranks(catalogue.ranked, len(catalogue.recommended)).mean()
            ),
            f"{prefix}coverage_at_10": float((catalogue.recommended > 0).mean()),
            f"{prefix}gini_at_10": metrics.gini(catalogue.recommended),
            f"{prefix}diversity_at_10": float(catalogue.diversity.mean()),
            f"{prefix}novelty_at_10": float(catalogue.novelty.mean()),
            f"{prefix}recommended_popularity": float(catalogue.popularity.mean()),
        }
    for name, ranks in evaluation.ranks.items():
        prefix = prefix_of(name)
        for cutoff in CUTOFFS:
            for metric, of in metrics.SAMPLED.items():
                values[f"{prefix}{metric}_at_{cutoff}"] = float(of(ranks, cutoff).mean())
        values[f"{prefix}mrr"] = float(metrics.reciprocal_ranks(ranks).mean())
    for metric in (f"{name}_at_{CUTOFF}" for name in metrics.SAMPLED):
        _, values[f"{metric}_low"], values[f"{metric}_high"] = of_rankers["model"][metric]
        _, values[f"{metric}_gain_low"], values[f"{metric}_gain_high"] = gains["popularity"][metric]
    return values | {
        "taken_popularity": evaluation.test_popularity,
        "test_positives": float(len(evaluation.test)),
        "full_users": float(len(evaluation.users)),
        "candidates": float(evaluation.candidates),
        LEFT_OUT: float(evaluation.users_left_out),
    }


def _bounds(name: str, found: Estimate) -> dict[str, float]:
    """An estimate by flat names."""
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}


def _flat_champion(champion: ChampionSummary, comparison: Comparison) -> dict[str, float]:
    values = {f"champion_{metric}": found.mean for metric, found in champion.champion.items()}
    for metric, gain in champion.gains.items():
        name = f"{metric}_gain_over_champion"
        values[name], values[f"{name}_low"], values[f"{name}_high"] = gain
    comparable = comparison.comparable
    return values | {
        "champion_comparable": float(comparable.rows.sum()),
        "champion_unknown": float(comparable.unknown),
        "champion_leaked": float(comparable.leaked),
    }
