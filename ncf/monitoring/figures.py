"""Figures of a window as JSON, which a later window may be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ncf.artifacts.regular_files import read_json
from ncf.errors import InputError
from ncf.evaluation.intervals import Estimate
from ncf.monitoring.contest import Contest
from ncf.monitoring.drift import Histogram
from ncf.monitoring.findings import Findings
from ncf.monitoring.shown import FAILED
from ncf.monitoring.traffic import Traffic

SCHEMA = 1
_MAX_GROUPS = 1000


def content(found: Findings, endpoint: str, sampling: int, contest: Contest | None = None) -> dict[str, Any]:
    """All figures.

    Args:
        found: in the window.
        endpoint: its name.
        sampling: share of requests that is captured, percent; 0 if not known.
        contest: of the variants of an experiment; None without one.
    """
    observation, window = found.observation, found.observation.window
    outcomes = observation.outcomes
    return {
        "schema": SCHEMA,
        "endpoint": endpoint,
        "model_version": observation.population.version,
        "window": {
            "id": window.id,
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
            "is_empty": found.is_empty,
        },
        "sampling_percent": sampling,
        "outside_window": observation.outside,
        "total": of_traffic(found.total),
        "variants": {name: of_traffic(traffic) for name, traffic in observation.variants.items()},
        "service": {
            "invocations": found.service.invocations,
            "errors_4xx": found.service.client_errors,
            "errors_5xx": found.service.server_errors,
            "hours": [
                {
                    "start": hour.start.isoformat(),
                    "invocations": hour.invocations,
                    "latency_ms": round(hour.latency, 3),
                    "latency_p99_ms": round(hour.latency_p99, 3),
                    "overhead_p99_ms": round(hour.overhead_p99, 3),
                }
                for hour in found.service.hours
            ],
        },
        "distributions": {name: histogram.content() for name, histogram in found.distributions.items()},
        "reference": found.reference,
        "drift": {name: {"psi": one.psi, "chance": one.bound} for name, one in found.drifts.items()},
        "outcomes": [
            {
                "variant": day.variant,
                "day": day.day,
                "users": day.users,
                "lists": day.lists,
                "hr_at_10": _interval(day.hit),
                "ndcg_at_10": _interval(day.ndcg),
            }
            for day in found.days
        ],
        "experiment": contest.content() if contest else None,
        "lists_too_recent": outcomes.too_recent if outcomes else 0,
        "breaches": [{"limit": one.limit, "text": one.text, "value": one.value} for one in found.breaches],
    }


def of_traffic(traffic: Traffic) -> dict[str, Any]:
    """Figures of the captured traffic."""
    concentration = traffic.concentration()
    return {
        "records": traffic.records,
        "unreadable": dict(traffic.faults),
        "lists": traffic.lists,
        "failed": traffic.sources[FAILED],
        "of_other_models": traffic.of_others,
        "forms": dict(traffic.forms),
        "sources": {name: n for name, n in traffic.sources.items() if name != FAILED},
        "unknown_users": traffic.unknown_users,
        "unknown_items": traffic.unknown_items / max(1, traffic.requested),
        "coverage": concentration.coverage,
        "gini": concentration.gini,
        "top_share": concentration.top_share,
    }


def metrics(found: Findings, contest: Contest | None = None) -> dict[str, float]:
    """The main figures by name, for KFP.

    Args:
        found: in the window.
        contest: of the variants of an experiment; None without one.
    """
    total = of_traffic(found.total)
    lists = max(1, found.total.lists)
    figures: dict[str, float] = {
        "records": found.total.records,
        "unreadable": found.total.unreadable,
        "lists": found.total.lists,
        "popular_share": found.total.sources["popular"] / lists,
        **{name: total[name] for name in ("unknown_users", "unknown_items", "coverage", "gini", "top_share")},
        "invocations": found.service.invocations,
        "errors_5xx": found.service.server_errors,
        **{f"psi_{name}": one.psi for name, one in found.drifts.items()},
        "breaches": len(found.breaches),
    }
    if slowest := found.service.slowest:
        figures["latency_p99_ms"] = slowest.total_p99
    if found.days:
        figures["hr_at_10"], figures["ndcg_at_10"] = found.days[-1].hit.mean, found.days[-1].ndcg.mean
    if contest and contest.difference:
        figures["challenger_gain"] = contest.difference.mean
        figures["challenger_gain_low"], figures["challenger_gain_high"] = contest.difference[1:]
    return figures


def _interval(value: Estimate) -> dict[str, float]:
    return {"mean": value.mean, "low": value.low, "high": value.high}


class _Distribution(BaseModel):
    labels: list[str] = Field(max_length=_MAX_GROUPS)
    counts: list[int] = Field(max_length=_MAX_GROUPS)
    effective: float = Field(ge=0, allow_inf_nan=False)


class _Reference(BaseModel):
    model_config = ConfigDict(extra="ignore")

    window: Mapping[str, Any]
    model_version: str
    distributions: dict[str, _Distribution]


def reference(path: Path, version: str) -> tuple[dict[str, Histogram], str]:
    """Distributions of an earlier window, by name, and the window in words.

    Args:
        path: file with :func:`content`.
        version: of the live model.

    Raises:
        InputError: if it is none, or of another model, whose groups of users and items are others.
    """
    text = read_json(path.parent, path.name)
    try:
        found = _Reference.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:100] or "content"
        raise InputError(f"{path}: {where}: {first['msg']}; expected the figures of an earlier window") from None
    if found.model_version != version:
        raise InputError(
            f"{path}: figures of model {found.model_version[:40]}, but the endpoint serves {version}; expected the "
            "figures of a window of the same model"
        )
    for name, one in found.distributions.items():
        if len(one.labels) != len(one.counts) or min(one.counts, default=0) < 0:
            raise InputError(f"{path}: distributions.{name[:40]}: expected a count of 0 or more for each label")
    made = {name: Histogram(name, one.labels, one.counts, one.effective) for name, one in found.distributions.items()}
    return made, f"window {str(found.window.get('id', ''))[:60]}"
