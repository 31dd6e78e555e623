"""Plots of a monitored window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ncf.monitoring.contest import Contest
from ncf.monitoring.drift import Drift
from ncf.monitoring.findings import DayFigures
from ncf.monitoring.service import HourOfService
from ncf.monitoring.window import HOUR_SECONDS
from ncf.reports.plots import CHAMPION, DATA, INK, MODEL, OTHERS, Chart, legend_below, percent_ticks, plot, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 5.2, 3.0
_COLORS = (MODEL, CHAMPION, *OTHERS)
"""Colours of variants."""
_MAX_TICKS = 4


def requests(hours: Mapping[int, int], invocations: Mapping[int, int]) -> Chart:
    """Captured records and invocations by hour.

    Args:
        hours: records by hour, seconds since 1970 UTC.
        invocations: by hour, from CloudWatch.
    """
    moments = _between([*hours, *invocations])
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.set_title("Requests by hour (UTC)")
        axes.bar(range(len(moments)), [hours.get(hour, 0) for hour in moments], color=DATA, width=0.8, label="captured")
        if any(invocations.values()):
            counts = [invocations.get(hour, 0) for hour in moments]
            axes.step(range(len(moments)), counts, where="mid", color=INK, linewidth=1.2, label="invocations")
        _hour_ticks(axes, moments)
        axes.set(ylabel="requests", ylim=(0, None))
        legend_below(figure, axes)
        return Chart(svg(figure))


def sources(lists: Mapping[str, int]) -> Chart:
    """Lists by their source.

    Args:
        lists: number by source, in words.
    """
    with plot(_WIDTH, 1.1 + 0.42 * len(lists)) as (figure, axes):
        axes.set_title("Lists by their source")
        axes.barh(range(len(lists)), list(lists.values()), color=MODEL, height=0.66)
        axes.set_yticks(range(len(lists)), list(lists))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel="lists and scores")
        return Chart(svg(figure))


def drift(label: str, found: Drift) -> Chart:
    """Shares of the groups of a distribution, before and now."""
    labels = [str(name) for name in found.now.labels]
    at = np.arange(len(labels))
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.set_title(f"{label[0].upper()}{label[1:]}: PSI {found.psi:.3f}")
        axes.bar(at - 0.2, found.reference.shares(), width=0.38, color=OTHERS[2], label="before")
        axes.bar(at + 0.2, found.now.shares(), width=0.38, color=DATA, label="in the window")
        axes.set_xticks(at, [_short(name) for name in labels])
        axes.set(ylabel="share")
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        percent_ticks(axes.yaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))


def lorenz(served: NDArray[np.int64]) -> Chart:
    """Share of the places in lists that the most frequent items have.

    Args:
        served: int64 [items], places of each item.
    """
    shares = np.concatenate([[0.0], np.cumsum(np.sort(served)[::-1]) / max(1, int(served.sum()))])
    at = np.unique(np.linspace(0, len(served), 200).round().astype(int))
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.set_title("Concentration of the lists on few items")
        axes.plot(at / len(served), shares[at], color=MODEL)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        axes.set(xlabel="items of the catalogue, the most frequent ones first", ylabel="places in lists")
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        percent_ticks(axes.xaxis)
        percent_ticks(axes.yaxis)
        return Chart(svg(figure), "The dotted line: all items equally often.")


def latency(hours: Sequence[HourOfService], limit: int) -> Chart:
    """Latency of the container by hour, mean and p99.

    Args:
        hours: with invocations.
        limit: of container and overhead, ms; 0 for none.
    """
    starts = [int(hour.start.timestamp()) for hour in hours]
    moments = _between(starts)
    place = {moment: number for number, moment in enumerate(moments)}
    at = [place[start] for start in starts]
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.set_title("Latency of the container by hour (UTC)")
        axes.plot(at, [hour.latency_p99 for hour in hours], color=CHAMPION, marker="o", markersize=3, label="p99")
        axes.plot(at, [hour.latency for hour in hours], color=MODEL, marker="o", markersize=3, label="mean")
        if limit:
            axes.axhline(limit, color=INK, linewidth=1, linestyle="--", label="limit")
        _hour_ticks(axes, moments)
        axes.set(ylabel="ms", ylim=(0, None))
        legend_below(figure, axes)
        return Chart(svg(figure))


def errors(hours: Sequence[HourOfService]) -> Chart:
    """Share of the invocations with an error, by hour.

    Args:
        hours: with invocations.
    """
    found = {int(hour.start.timestamp()): hour for hour in hours}
    moments = _between(list(found))
    series = {"4xx": ("client_errors", OTHERS[2]), "5xx": ("server_errors", CHAMPION)}
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.set_title("Errors by hour (UTC)")
        for offset, (label, (name, color)) in zip((-0.2, 0.2), series.items(), strict=True):
            shares = [
                getattr(found[hour], name) / found[hour].invocations if hour in found else 0.0 for hour in moments
            ]
            axes.bar(np.arange(len(moments)) + offset, shares, color=color, width=0.4, label=label)
        _hour_ticks(axes, moments)
        axes.set(ylabel="share of invocations", ylim=(0, None))
        percent_ticks(axes.yaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))


def outcomes(days: Sequence[DayFigures]) -> Chart:
    """HR@10 of the lists by day and variant, with 95 % intervals."""
    by_variant: dict[str, list[DayFigures]] = defaultdict(list)
    for day in days:
        by_variant[day.variant].append(day)
    dates = sorted({day.day for day in days})
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.set_title("Lists that were followed by an interaction")
        for number, (variant, found) in enumerate(by_variant.items()):
            at = [dates.index(day.day) + 0.08 * (number - (len(by_variant) - 1) / 2) for day in found]
            means = [day.hit.mean for day in found]
            spread = [
                [max(0.0, day.hit.mean - day.hit.low) for day in found],
                [max(0.0, day.hit.high - day.hit.mean) for day in found],
            ]
            color = _COLORS[number % len(_COLORS)]
            axes.errorbar(at, means, spread, color=color, marker="o", markersize=4, capsize=3, label=variant)
        axes.set_xticks(range(len(dates)), dates)
        axes.set(ylabel="HR@10", ylim=(0, None), xlim=(-0.5, len(dates) - 0.5))
        legend_below(figure, axes)
        return Chart(svg(figure))


def contest(found: Contest) -> Chart:
    """HR@10 of the challenger minus the champion's by day, with its confidence sequence."""
    looks = [(day, look) for day, look in zip(found.days, found.looks, strict=True) if look]
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.set_title("Challenger minus champion, all users until the day")
        at = range(len(looks))
        low, high = ([getattr(look, end) for _, look in looks] for end in ("low", "high"))
        axes.fill_between(at, low, high, color=MODEL, alpha=0.2, linewidth=0, label="always-valid 95 % interval")
        axes.plot(at, [look.mean for _, look in looks], color=MODEL, marker="o", markersize=4, label="difference")
        axes.axhline(0, color=INK, linewidth=0.8)
        step = max(1, -(-len(looks) // _MAX_TICKS))
        axes.set_xticks(list(at)[::step], [day for day, _ in looks][::step])
        axes.set(ylabel="HR@10", xlim=(-0.5, len(looks) - 0.5))
        legend_below(figure, axes)
        return Chart(svg(figure))


def _short(label: str) -> str:
    """A group's name for an axis: without its size, and on a line of its own if it is long."""
    name = label.partition(" (")[0]
    return f"\n{name}" if len(name) > 2 else name


def _between(moments: Sequence[int]) -> list[int]:
    """All hours from the first to the last one."""
    return list(range(min(moments), max(moments) + 1, HOUR_SECONDS)) if moments else []


def _hour_ticks(axes: Axes, moments: Sequence[int]) -> None:
    step = max(1, -(-len(moments) // _MAX_TICKS))
    shown = range(0, len(moments), step)
    axes.set_xticks(list(shown), [f"{datetime.fromtimestamp(moments[at], UTC):%m-%d %H:%M}" for at in shown])
