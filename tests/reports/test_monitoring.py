"""The page and the summary of a monitored window."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from captured import line, observed, of_user, population

from ncf.evaluation.intervals import Estimate
from ncf.monitoring.findings import DayFigures, Findings, findings
from ncf.monitoring.service import HourOfService, Service
from ncf.monitoring.settings import Limits
from ncf.reports.html import settings_table
from ncf.reports.monitoring import MonitoringReport

KNOWN = population({f"u{user}": 4 for user in range(200)}, {f"i{item}": 2 for item in range(100)})
HOUR = HourOfService(datetime(2026, 5, 4, tzinfo=UTC), 300, 3, 6, 5.0, 20.0, 1.0, 2.5)


def found(limits: Limits, unknown: int = 0, variants: int = 1, service: Service | None = None) -> Findings:
    records = [
        line(
            of_user(f"u{user}" if user >= unknown else f"<x{user}>", [f"i{user % 100}"], user * 60.0),
            f"v{user % variants}",
        )
        for user in range(200)
    ]
    return findings(observed(KNOWN, records), service or Service([HOUR]), {}, {}, "training", limits, seed=0)


def report(
    one: Findings, limits: Limits, sampling: int = 100, sent: tuple[str, ...] = (), **more: Any
) -> MonitoringReport:
    settings = settings_table(limits.model_dump(), Limits.model_fields)
    return MonitoringReport("shop", sampling, one, limits, sent, is_over=True, settings=settings, **more)


def test_a_good_window() -> None:
    limits = Limits(max_errors=0)
    made = report(found(limits), limits)
    page, text = made.html(), made.markdown()
    assert made.verdict == "no limit is breached"
    assert 'class="good"' in page
    assert "endpoint shop (model 0123456789ab), 2026-05-04 00:00 to 2026-05-05 00:00 UTC" in page
    assert "# shop: no limit is breached" in text
    assert "| captured requests | 200 |" in text
    assert "p99 of the container" in page
    assert "20.0 ms" in page
    assert "No later interactions were given" in page
    assert "captured at present" not in page
    assert page.count("<svg") == 6


def test_a_breach_says_what_and_what_was_sent() -> None:
    limits = Limits(max_unknown_users=0.2)
    made = report(found(limits, unknown=120), limits, sampling=25, sent=("An event was sent.",))
    page, text = made.html(), made.markdown()
    assert "60.0% of requests are of unknown users; the limit is 20.0%" in page
    assert "- 60.0% of requests are of unknown users; the limit is 20.0%" in text
    assert '<section class="bad">' in page
    assert "An event was sent." in text
    assert "25 % of the requests are captured at present" in page
    assert "<x1>" not in page


def test_a_share_above_its_limit_by_chance_is_named() -> None:
    limits = Limits(max_unknown_users=0.05, max_errors=0, max_psi=0)
    made = report(found(limits, unknown=12), limits)
    assert not made.found.breaches
    assert "of requests; limit 5%; above it by chance" in made.html()


def test_an_empty_window() -> None:
    limits = Limits()
    empty = findings(observed(KNOWN, []), Service(), {}, {}, "training", limits, seed=0)
    made = report(empty, limits, sampling=0)
    assert made.verdict == "no request was captured"
    page = made.html()
    assert "This is no breach." in page
    assert "The endpoint captures no requests at present." in page
    assert "<svg" not in page
    only = findings(observed(KNOWN, []), Service([HOUR]), {}, {}, "training", Limits(max_errors=0), seed=0)
    assert "There are invocations, but no request was captured." in report(only, limits).html()


def test_outcomes_and_variants() -> None:
    limits = Limits(max_errors=0)
    one = found(limits, variants=2)
    estimate = Estimate(0.25, 0.2, 0.3)
    days = [DayFigures(name, "2026-05-04", 100, 120, estimate, estimate) for name in ("v0", "v1")]
    outcomes: Any = type("Outcomes", (), {"too_recent": 7})()
    seen = replace(one, days=days, observation=replace(one.observation, outcomes=outcomes))
    page = report(seen, limits).html()
    assert page.count("0.2500 (0.2000 to 0.3000)") == 4
    assert "7 lists are too recent" in page
    assert "<h2>Variants</h2>" in page
    waiting = replace(seen, days=[])
    assert "7 lists are too recent" in report(waiting, limits).html()


def test_records_that_cannot_be_read_are_named() -> None:
    limits = Limits()
    observation = observed(KNOWN, [line(b"{"), line(of_user("u1", ["i1"])), line(b"{}")])
    page = report(findings(observation, Service(), {}, {}, "training", limits, seed=0), limits).html()
    assert "not a JSON object" in page
    assert "no time of the request" in page
    assert "Too few requests, or nothing to compare with." in page
    assert "CloudWatch has no invocations in this window." in page


def test_no_list_was_captured() -> None:
    limits = Limits()
    observation = observed(KNOWN, [line(b"{")])
    one = findings(observation, Service(), {}, {}, "training", limits, seed=0)
    assert not np.any(one.total.served)
    assert "No list of items was captured." in report(one, limits).html()
