"""The data report of the preprocess stage: files and columns, counts, what was dropped, the split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.comparison import Comparison
from ncf.data.preparation import Prepared
from ncf.data.times import as_date, usual
from ncf.data.units import DAY
from ncf.reports.html import Report, Section, Table, Tile, render
from ncf.reports.numbers import count, percent
from ncf.reports.plots import DATA, Chart, log_histogram, plain_numbers, plot, svg

_PERIODS = 40
_DAYS_PER_YEAR = 365.25
_MAX_DAYS = 1000
"""Longest time span that is given in days; longer ones are given in years."""
_MAX_FILES = 5
_MAX_TYPES, _MAX_NAME = 50, 60
"""Event types in the table, and characters of a name there."""
_DRAWN = np.array(["0100-01-01", "9000-01-01"], "datetime64[us]").astype(np.int64)
"""First and last time on an axis of dates, with room for its margins."""


def dataset_report(prepared: Prepared, fingerprint: str, comparison: Comparison, settings: Table) -> str:
    """The data report as an HTML page.

    Args:
        prepared: the data set and how it was made.
        fingerprint: the first digits of the data set's fingerprint, as the evaluation report shows them.
        comparison: with the last good interactions.
        settings: parameters of the stage.
    """
    sections = [
        _figures(prepared),
        _source(prepared, fingerprint),
        _compared(comparison),
        *_events(prepared),
        _dropped(prepared),
        _split(prepared),
        _distributions(prepared),
        Section("Settings", tables=[settings]),
    ]
    return render(Report("Data set", _listed(prepared.files), sections))


def _figures(prepared: Prepared) -> Section:
    data, figures = prepared.dataset, prepared.metrics()
    with_title = f"{count(figures['titles'])} with a title" if "titles" in figures else "no titles"
    tiles = [
        Tile("Users", count(data.n_users)),
        Tile("Items", count(data.n_items), with_title),
        Tile("Interactions", count(figures["interactions"]), f"of {count(figures['read'])} rows read"),
        Tile("Sparsity", percent(figures["sparsity"], digits=2), "of user-item pairs have no interaction"),
    ]
    if prepared.time is not None:
        shown = _shown(prepared.time)
        first, last = int(shown.min()), int(shown.max())
        days = (last - first) / DAY
        span = f"{days:,.0f} days" if days < _MAX_DAYS else f"{days / _DAYS_PER_YEAR:,.1f} years"
        dates = (as_date(time).split()[0] for time in (first, last))
        tiles.append(Tile("Time span", span, f"{' to '.join(dates)} (UTC)"))
    return Section("Key figures", tiles=tiles)


def _source(prepared: Prepared, fingerprint: str) -> Section:
    rows = [
        ("Files", _listed(prepared.files)),
        ("Columns", ", ".join(f"{name} ({role})" for role, name in prepared.columns.items())),
        ("Data fingerprint", fingerprint),
    ]
    return Section("Source", tables=[Table(("", ""), [row for row in rows if row[1]])])


def _compared(comparison: Comparison) -> Section:
    heading = "Comparison with the last good data"
    if comparison.absence:
        return Section(heading, [f"There is none: {comparison.absence.removesuffix('.')}."])
    rows = [(figure.what, figure.before, figure.now, figure.bound) for figure in comparison.figures]
    text = f"The last good data are those of {comparison.with_}. The stage fails beyond a limit."
    return Section(heading, [text], tables=[Table(("", "Last good", "Now", "Limit"), rows)])


def _events(prepared: Prepared) -> list[Section]:
    """Time window and event types; nothing if neither was chosen."""
    window, types = prepared.choice.window, prepared.choice.types
    text = [f"Time window: {window}."] if window else []
    if types:
        text.append(
            "The weight of a positive is the sum of the weights of its events of one user and item. Events with weight "
            "0 are left out."
        )
    if len(types) > _MAX_TYPES:
        text.append(f"The {_MAX_TYPES} most frequent of {len(types)} event types are shown.")
    total = sum(event.count for event in types)
    head = ("Event type", "Weight", "Events", "Share", *(["In the time window"] if window else []))
    rows = [
        (
            event.name[:_MAX_NAME], f"{event.weight:g}", count(event.count), percent(event.count / total),
            *([count(event.in_window)] if window else []),
        )
        for event in sorted(types, key=lambda event: -event.count)[:_MAX_TYPES]
    ]  # fmt: skip
    tables = [Table(head, rows)] if rows else []
    return [Section("Events", text, tables=tables)] if text else []


def _dropped(prepared: Prepared) -> Section:
    rows = [
        (step.what, step.dropped if number else "", step.interactions, step.users, step.items)
        for number, step in enumerate(prepared.steps)
    ]
    columns = ("Step", "Dropped", "Interactions left", "Users left", "Items left")
    text = (
        "The steps are applied in this order. The minima of interactions per user and per item are applied in turn "
        "until all users and items meet them; the table has their sums."
    )
    return Section("Dropped interactions", [text], tables=[Table(columns, rows)])


def _split(prepared: Prepared) -> Section:
    figures = prepared.metrics()
    rows = [
        (name, count(figures[key]), percent(figures[key] / figures["interactions"]))
        for name, key in (("Training", "train"), ("Validation", "validation"), ("Test", "test"))
    ]
    without_test = f"{count(prepared.short_users)} of {count(prepared.dataset.n_users)} users have no test item."
    table = Table(("Part", "Interactions", "Share"), rows)
    return Section("Split", [*prepared.notes, without_test], tables=[table])


def _distributions(prepared: Prepared) -> Section:
    data = prepared.dataset
    held_out = np.concatenate([data.validation, data.test])
    activity = data.train.counts() + np.bincount(held_out[:, 0], minlength=data.n_users)
    popularity = np.bincount(data.train.items, minlength=data.n_items)
    popularity += np.bincount(held_out[:, 1], minlength=data.n_items)
    charts = [
        Chart(_histogram(activity, "interactions of a user", "users"), f"Activity of users: {_spread(activity)}."),
        Chart(
            _histogram(popularity, "interactions of an item", "items"), f"Popularity of items: {_spread(popularity)}."
        ),
    ]
    if prepared.time is not None and np.ptp(shown := _shown(prepared.time)):
        caption = f"Interactions over time in {_PERIODS} equal periods (UTC)."
        charts.append(Chart(_over_time(shown), caption, is_wide=True))
    top = np.sort(popularity)[::-1]
    share = top[: max(1, len(top) // 10)].sum() / top.sum()
    text = f"The most popular tenth of the items has {percent(share, digits=0)} of the interactions."
    return Section("Distributions", [text], charts=charts)


def _shown(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Times from 1971 to 2099, if these are the most; otherwise times in the years that a plot can show."""
    within = usual(time)
    if 2 * within.sum() >= len(time):
        return time[within]
    return time.clip(_DRAWN[0], _DRAWN[1])


def _histogram(values: NDArray[Any], horizontal: str, vertical: str) -> str:
    with plot(5.2, 2.8) as (figure, axes):
        log_histogram(axes, values[values > 0])
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)  # a bin of one user or item is visible
        plain_numbers(axes.yaxis)
        axes.set(xlabel=horizontal, ylabel=vertical)
        return svg(figure)


def _over_time(time: NDArray[np.int64]) -> str:
    with plot(10.5, 2.6) as (figure, axes):
        counts, edges = np.histogram(time, bins=_PERIODS)
        dates = edges.astype("datetime64[us]")
        axes.bar(dates[:-1], counts, width=np.diff(dates) * 0.92, align="edge", color=DATA)
        axes.set_ylabel("interactions")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        return svg(figure)


def _spread(counts: NDArray[Any]) -> str:
    low, middle, high = np.percentile(counts, [10, 50, 90]).tolist()
    return (
        f"median {count(middle)}, 10th percentile {count(low)}, 90th percentile {count(high)}, "
        f"maximum {count(counts.max())}"
    )


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - _MAX_FILES} more files" if len(files) > _MAX_FILES else ""
    return ", ".join(files[:_MAX_FILES]) + more
