"""Stable traffic breaches no limit in a hundred windows; drift, errors and unknown users breach theirs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from captured import observed, population, window

from ncf.monitoring.clusters import UserNumbers
from ncf.monitoring.findings import Findings, findings
from ncf.monitoring.observation import Observation
from ncf.monitoring.population import Population
from ncf.monitoring.service import HourOfService, Service
from ncf.monitoring.settings import Limits
from ncf.monitoring.shown import Shown
from ncf.monitoring.traffic import Traffic

USERS, ITEMS, UNKNOWN = 400, 300, "new"
ACTIVITY = np.random.default_rng(1).integers(2, 40, USERS)
POPULARITY = (3000 / np.arange(2, ITEMS + 2)).astype(np.int64)
ON = Limits(max_top_share=0.3, min_coverage=0.2)


@pytest.fixture(scope="module")
def known() -> Population:
    activity = {f"u{user}": int(count) for user, count in enumerate(ACTIVITY)}
    return population(activity, {f"i{item}": int(count) for item, count in enumerate(POPULARITY)})


def traffic(
    known: Population,
    rng: np.random.Generator,
    requests: int,
    users: np.ndarray = ACTIVITY,
    items: np.ndarray = POPULARITY,
    unknown: float = 0.1,
) -> Observation:
    """Requests of users drawn by their activity, of whom some are unknown, with histories of items by popularity."""
    observation = observed(known, [])
    found = Traffic("AllTraffic", known, UserNumbers(known.users.index))
    who = rng.choice(USERS, requests, p=users / users.sum())
    what = rng.choice(ITEMS, (requests, 3), p=items / items.sum())
    lists = rng.choice(ITEMS, (requests, 10), p=np.full(ITEMS, 1 / ITEMS))
    is_new = rng.random(requests) < unknown
    for row in range(requests):
        user = f"{UNKNOWN}{row}" if is_new[row] else f"u{who[row]}"
        asked, answer = ([f"i{item}" for item in part[row].tolist()] for part in (what, lists))
        found.add([Shown("history", user, "history", answer, asked)])
    found.records = requests
    observation.variants["AllTraffic"] = found
    return observation


def judged(observation: Observation, service: Service | None = None, limits: Limits = ON) -> Findings:
    return findings(observation, service or Service(), {}, {}, "training", limits, seed=0)


@pytest.mark.parametrize("requests", [30, 120, 600])
def test_stable_traffic_breaches_nothing_in_a_hundred_windows(known: Population, requests: int) -> None:
    limits = Limits(max_unknown_users=0.11, max_psi=0.05)
    for seed in range(100):
        found = judged(traffic(known, np.random.default_rng(seed), requests, unknown=0.1), limits=limits)
        assert not found.breaches, (seed, [breach.text for breach in found.breaches])


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"users": (ACTIVITY.max() + 1 - ACTIVITY) ** 2}, "max_psi"),
        ({"items": POPULARITY[::-1]}, "max_psi"),
        ({"unknown": 0.6}, "max_unknown_users"),
    ],
)
def test_drift_is_a_breach(known: Population, change: dict[str, np.ndarray], limit: str) -> None:
    for seed in range(5):
        found = judged(traffic(known, np.random.default_rng(seed), 2000, **change))  # type: ignore[arg-type]
        assert limit in {breach.limit for breach in found.breaches}


def test_unknown_items_popular_lists_and_missing_answers(known: Population) -> None:
    cases: list[tuple[Callable[[int], Shown], str]] = [
        (lambda n: Shown("candidates", f"u{n}", "model", (), ["nothing"]), "max_unknown_items"),
        (lambda n: Shown("users", f"u{n}", "popular", ["i1"]), "max_popular"),
        (lambda _: Shown("similar", None, "failed", (), ["i1"]), "max_errors"),
    ]
    for make, limit in cases:
        observation = observed(known, [])
        observation.variants["AllTraffic"] = Traffic("AllTraffic", known, UserNumbers(known.users.index))
        observation.variants["AllTraffic"].add([make(number) for number in range(300)])
        observation.variants["AllTraffic"].records = 300
        found = {breach.limit for breach in judged(observation, limits=Limits(max_psi=0)).breaches}
        assert limit in found
        assert not judged(observation, limits=Limits(**dict.fromkeys(Limits.model_fields, 0))).breaches


def test_a_share_of_few_requests_is_no_breach(known: Population) -> None:
    observation = observed(known, [])
    found = Traffic("AllTraffic", known, UserNumbers(known.users.index))
    found.add([Shown("users", f"x{number}", "popular", ["i1"]) for number in range(5)])
    observation.variants["AllTraffic"] = found
    assert found.unknown_users == 1
    assert not judged(observation, limits=Limits()).breaches


def hour(invocations: int, errors: int, p99: float) -> HourOfService:
    return HourOfService(datetime(2026, 5, 4, tzinfo=UTC), invocations, 0, errors, 5.0, p99, 1.0, 2.0)


def test_errors_and_latency_of_the_service(known: Population) -> None:
    limits = Limits(max_latency=100)
    empty = observed(known, [])
    assert not judged(empty, Service([hour(1000, 10, 90.0)]), limits).breaches
    found = judged(empty, Service([hour(1000, 100, 90.0), hour(10, 0, 99.0)]), limits).breaches
    assert [breach.limit for breach in found] == ["max_errors", "max_latency"]
    assert found[1].text.startswith("p99 of the latency was 101 ms")


def test_concentration(known: Population) -> None:
    observation = observed(known, [])
    found = Traffic("AllTraffic", known, UserNumbers(known.users.index))
    found.add([Shown("users", f"u{number}", "model", ["i1", "i2"]) for number in range(100)])
    observation.variants["AllTraffic"] = found
    assert {breach.limit for breach in judged(observation).breaches} >= {"max_top_share", "min_coverage"}


def test_an_empty_window_is_no_breach(known: Population) -> None:
    found = judged(observed(known, []))
    assert found.is_empty
    assert not found.breaches
    assert not judged(observed(known, []), Service([hour(1, 0, 1.0)])).is_empty
    assert window().id == "2026-05-04T00:00:00Z-24h"
