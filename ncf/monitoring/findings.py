"""Findings of a window: figures, drift, outcomes and breached limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ncf.evaluation.intervals import Estimate, estimate
from ncf.monitoring.drift import Drift, Histogram, drift
from ncf.monitoring.observation import Observation
from ncf.monitoring.outcomes import DayOutcomes
from ncf.monitoring.service import Service
from ncf.monitoring.settings import Limits
from ncf.monitoring.shares import lower_bound
from ncf.monitoring.shown import FAILED
from ncf.monitoring.traffic import Traffic

TRAINING = "training"
"""What distributions are compared with, unless a reference window is given."""
_RESAMPLES = 1000
LABELS: Mapping[str, str] = {
    "users": "users of requests",
    "history_items": "items in histories",
    "served_items": "items in lists",
    "interacting_users": "users of later interactions",
    "interacted_items": "items of later interactions",
    "events": "types of later events",
}
"""Distributions, in words."""
_OF_TRAINING = {
    "users": "users",
    "interacting_users": "users",
    "history_items": "items",
    "interacted_items": "items",
}
"""Distribution -> the groups of the model that it is compared with. Lists are more concentrated than training data."""


@dataclass(frozen=True)
class Breach:
    """A breached limit.

    Attributes:
        limit: parameter.
        text: the finding, in words.
        value: that was found.
    """

    limit: str
    text: str
    value: float


@dataclass(frozen=True)
class DayFigures:
    """Outcomes of a variant on a day, means over users.

    Attributes:
        variant: of the endpoint.
        day: ISO date, UTC.
        users: number of users.
        lists: number of lists.
        hit: HR@10 of the lists.
        ndcg: NDCG@10 of the lists.
    """

    variant: str
    day: str
    users: int
    lists: int
    hit: Estimate
    ndcg: Estimate


@dataclass(frozen=True)
class Findings:
    """What was found in a window.

    Attributes:
        observation: the records.
        total: traffic of all variants.
        service: figures of CloudWatch.
        distributions: of the window, by name.
        drifts: by name; without those that cannot be compared.
        reference: what they are compared with, in words.
        days: outcomes by variant and day.
        breaches: of limits.
    """

    observation: Observation
    total: Traffic
    service: Service
    distributions: Mapping[str, Histogram]
    drifts: Mapping[str, Drift]
    reference: str
    days: Sequence[DayFigures]
    breaches: Sequence[Breach]

    @property
    def is_empty(self) -> bool:
        """Whether the window has neither captured records nor invocations."""
        return not (self.total.records or self.service.invocations)


def findings(
    observation: Observation,
    service: Service,
    later: Mapping[str, Histogram],
    reference: Mapping[str, Histogram],
    reference_name: str,
    limits: Limits,
    seed: int,
) -> Findings:
    """The findings of a window.

    Args:
        observation: the records, all read.
        service: figures of CloudWatch.
        later: distributions of later interactions, by name.
        reference: distributions of the reference window, by name; empty for the training data.
        reference_name: the reference, in words.
        limits: of the figures.
        seed: of the intervals.
    """
    total = observation.total()
    distributions = {**total.histograms(), **later}
    if not reference:
        groups = {"users": observation.population.users, "items": observation.population.items}
        reference = {name: groups[kind].reference for name, kind in _OF_TRAINING.items()}
    drifts = {
        name: found
        for name, histogram in distributions.items()
        if name in reference and (found := drift(histogram, reference[name]))
    }
    days = [_figures(day, seed) for day in observation.outcomes.daily()] if observation.outcomes else []
    breaches = [
        *_of_drift(drifts, limits),
        *_of_shares(total, limits),
        *_of_concentration(total, limits),
        *_of_service(service, limits),
        *_of_outcomes(days, limits),
    ]
    return Findings(observation, total, service, distributions, drifts, reference_name, days, breaches)


def _figures(day: DayOutcomes, seed: int) -> DayFigures:
    """Means over users with intervals, each user being a row of its own."""
    found = estimate({"hit": day.hit, "ndcg": day.ndcg}, day.users, _RESAMPLES, seed)
    lists = int(day.lists.sum())
    return DayFigures(day.variant, day.day, len(day.users), lists, found["hit"], found["ndcg"])


def _of_drift(drifts: Mapping[str, Drift], limits: Limits) -> list[Breach]:
    return [
        Breach("max_psi", f"PSI of {LABELS[name]} is {found.psi:.3f}; the limit is {limits.max_psi:g}", found.psi)
        for name, found in drifts.items()
        if limits.max_psi and found.psi > limits.max_psi and not found.is_by_chance
    ]


def _of_shares(total: Traffic, limits: Limits) -> list[Breach]:
    """Breaches of shares that exceed their limit by more than chance."""
    lists, effective = total.lists, total.effective
    asked = sum(total.forms.values())
    shares = {
        "max_unknown_users": (total.unknown_users, total.effective_users, "of requests are of unknown users"),
        "max_unknown_items": (
            total.unknown_items / max(1, total.requested),
            min(effective, total.requested),
            "of items in requests are unknown",
        ),
        "max_popular": (total.sources["popular"] / max(1, lists), effective, "of lists are popular items"),
        "max_unreadable": (
            total.unreadable / max(1, total.records),
            total.records,
            "of captured records cannot be read",
        ),
        "max_errors": (total.sources[FAILED] / max(1, asked), asked, "of requests in JSON Lines or CSV had no answer"),
    }
    return [
        Breach(name, f"{share:.1%} {what}; the limit is {limit:.1%}", share)
        for name, (share, n, what) in shares.items()
        if (limit := getattr(limits, name)) and lower_bound(share, n) > limit
    ]


def _of_concentration(total: Traffic, limits: Limits) -> list[Breach]:
    if not total.served.any():
        return []
    found, breaches = total.concentration(), []
    if limits.max_top_share and found.top_share > limits.max_top_share:
        text = f"1 % of the items have {found.top_share:.1%} of the places in lists"
        breaches.append(Breach("max_top_share", f"{text}; the limit is {limits.max_top_share:.1%}", found.top_share))
    if found.coverage < limits.min_coverage:
        text = f"{found.coverage:.1%} of the catalogue is in any list"
        breaches.append(Breach("min_coverage", f"{text}; the limit is {limits.min_coverage:.1%}", found.coverage))
    return breaches


def _of_service(service: Service, limits: Limits) -> list[Breach]:
    breaches = []
    share = service.server_errors / max(1, service.invocations)
    if limits.max_errors and lower_bound(share, service.invocations) > limits.max_errors:
        text = f"{share:.1%} of invocations had a 5xx answer; the limit is {limits.max_errors:.1%}"
        breaches.append(Breach("max_errors", text, share))
    slowest = service.slowest
    if slowest and limits.max_latency and slowest.total_p99 > limits.max_latency:
        text = f"p99 of the latency was {slowest.total_p99:,.0f} ms from {slowest.start:%Y-%m-%d %H:%M} UTC on"
        breaches.append(Breach("max_latency", f"{text}; the limit is {limits.max_latency:,} ms", slowest.total_p99))
    return breaches


def _of_outcomes(days: Sequence[DayFigures], limits: Limits) -> list[Breach]:
    return [
        Breach(
            "min_hit_rate",
            f"HR@10 of variant {day.variant} on {day.day} is {day.hit.mean:.4f}; the limit is {limits.min_hit_rate:g}",
            day.hit.mean,
        )
        for day in days
        if day.hit.high < limits.min_hit_rate
    ]
