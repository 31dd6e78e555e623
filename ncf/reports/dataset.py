"""The report on a data set: its figures, its shape, what was dropped, and how it was split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.preparation import Prepared
from ncf.data.split import as_date
from ncf.reports.html import ACCENT, Chart, Report, Section, Table, Tile, log_histogram, plain_numbers, plot, svg

_PERIODS = 40
_MICROSECONDS_A_DAY, _DAYS_A_YEAR = 86_400e6, 365.25
_MOST_DAYS = 1000  # longer spans are given in years


def overview(prepared: Prepared) -> Report:
    """The report of the preprocess stage."""
    sections = [_figures(prepared), _shape(prepared), _dropped(prepared), _split(prepared)]
    return Report("Data set", f"From {_listed(prepared.files)}", sections)


def _figures(prepared: Prepared) -> Section:
    data, figures = prepared.dataset, prepared.metrics()
    tiles = [
        Tile("Users", f"{data.n_users:,}"),
        Tile(
            "Items",
            f"{data.n_items:,}",
            f"{figures['titles']:,.0f} with a title" if "titles" in figures else "",
        ),
        Tile("Interactions", f"{figures['interactions']:,.0f}", "one for each user and item"),
        Tile("Sparsity", f"{figures['sparsity']:.2%}", "share of pairs without interaction"),
    ]
    if prepared.time is not None:
        first, last = int(prepared.time.min()), int(prepared.time.max())
        days = (last - first) / _MICROSECONDS_A_DAY
        span = f"{days:,.0f} days" if days < _MOST_DAYS else f"{days / _DAYS_A_YEAR:,.1f} years"
        tiles.append(Tile("Time span", span, " to ".join(as_date(time).split()[0] for time in (first, last))))
    return Section("Figures", tiles=tiles)


def _shape(prepared: Prepared) -> Section:
    data = prepared.dataset
    held_out = np.concatenate([data.validation, data.test])
    activity = data.train.counts() + np.bincount(held_out[:, 0], minlength=data.n_users)
    popularity = np.bincount(data.train.items, minlength=data.n_items)
    popularity += np.bincount(held_out[:, 1], minlength=data.n_items)
    charts = [
        Chart(
            _histogram(activity, "interactions of a user", "users"),
            f"Activity of users: {_spread(activity)}.",
        ),
        Chart(
            _histogram(popularity, "interactions of an item", "items"),
            f"Popularity of items: {_spread(popularity)}.",
        ),
    ]
    if prepared.time is not None:
        charts.append(Chart(_over_time(prepared.time), f"Interactions over time, in {_PERIODS} equal periods (UTC)."))
    top = np.sort(popularity)[::-1]
    share = top[: max(1, len(top) // 10)].sum() / top.sum()
    text = [f"The most popular tenth of the items has {share:.0%} of the interactions."]
    return Section("Shape", text, charts=charts)


def _dropped(prepared: Prepared) -> Section:
    rows = [
        (
            step.what,
            f"{step.dropped:,}" if place else "",
            f"{step.interactions:,}",
            f"{step.users:,}",
            f"{step.items:,}",
        )
        for place, step in enumerate(prepared.steps)
    ]
    columns = ("Step", "Dropped", "Interactions left", "Users left", "Items left")
    text = ["The steps are taken in this order. Minima of users and items are applied in turn until all have enough."]
    return Section("What was dropped, and why", text, tables=[Table(columns, rows)])


def _split(prepared: Prepared) -> Section:
    figures = prepared.metrics()
    rows = [
        (name, f"{figures[key]:,.0f}", f"{figures[key] / figures['interactions']:.1%}")
        for name, key in (("Training", "train"), ("Validation", "validation"), ("Test", "test"))
    ]
    short = f"{prepared.short_users:,} of {prepared.dataset.n_users:,} users have no test item."
    return Section("Split", [*prepared.notes, short], tables=[Table(("Part", "Interactions", "Share"), rows)])


def _histogram(values: NDArray[Any], horizontal: str, vertical: str) -> str:
    with plot(5.2, 2.8) as (figure, axes):
        log_histogram(axes, values[values > 0])
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)  # a bin of one shows
        plain_numbers(axes.yaxis)
        axes.set_xlabel(horizontal)
        axes.set_ylabel(vertical)
        return svg(figure)


def _over_time(time: NDArray[np.int64]) -> str:
    with plot(10.5, 2.6) as (figure, axes):
        counts, edges = np.histogram(time, bins=_PERIODS)
        dates = edges.astype("datetime64[us]")
        axes.bar(
            dates[:-1],
            counts,
            width=np.diff(dates),
            align="edge",
            color=ACCENT,
            edgecolor="white",
            linewidth=0.4,
        )
        axes.set_ylabel("interactions")
        return svg(figure)


def _spread(counts: NDArray[Any]) -> str:
    low, middle, high = np.percentile(counts, [10, 50, 90]).tolist()
    tenths = f"from {low:,.0f} (10th percentile) to {high:,.0f} (90th)"
    return f"median {middle:,.0f}, {tenths}, at most {counts.max():,}"


def _listed(files: Sequence[str]) -> str:
    return ", ".join(files[:5]) + (f" and {len(files) - 5} more files" if len(files) > 5 else "")
