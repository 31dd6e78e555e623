"""The plots of an evaluation: what a person would rather look at than read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.evaluation.intervals import Estimate
from ncf.evaluation.metrics import Ranks
from ncf.evaluation.summary import GroupSummary
from ncf.reports.html import ACCENT, CONTRAST, FURTHER, MUTED, Chart, legend_below, plain_numbers, plot, svg

LABELS = {
    "model": "this model",
    "champion": "champion",
    "ease": "EASE",
    "item_knn": "item-kNN",
    "popularity": "popularity",
}
COLORS = {"model": ACCENT, "champion": CONTRAST, "ease": FURTHER[0], "item_knn": FURTHER[1], "popularity": MUTED}
_DASHES = {"model": "-", "champion": "-", "ease": "--", "item_knn": "-.", "popularity": ":"}
_WIDTH = 5.2
_TALL = 2.9
_CURVE = range(1, 21)


def in_order(names: Mapping[str, Any]) -> list[str]:
    """The rankers among ``names`` as reports list them."""
    return [name for name in LABELS if name in names]


@contextmanager
def _figure(title: str, height: float = _TALL) -> Iterator[tuple[Any, Any]]:
    with plot(_WIDTH, height) as (figure, axes):
        axes.set_title(title)
        yield figure, axes


def _whiskers(axes: Any, place: float, found: Estimate, color: str, hollow: bool = False, label: str = "") -> None:
    axes.plot([found.low, found.high], [place, place], color=color, linewidth=2.2, solid_capstyle="round", zorder=2)
    face = "none" if hollow else color
    marker = {"marker": "o", "linestyle": "none", "markersize": 7, "zorder": 3}
    axes.plot([found.mean], [place], color=color, markerfacecolor=face, markeredgecolor=color, label=label, **marker)


def _rows(axes: Any, names: Sequence[str], margin: float = 0.6) -> None:
    """Names down the vertical axis, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 1 + margin, -margin)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _beside(axes: Any, place: float, at: float, text: str) -> None:
    """A figure printed to the right of its mark."""
    axes.annotate(text, (at, place), xytext=(7, 0), textcoords="offset points", va="center", fontsize=8.5)


def _differences(axes: Any, found: Sequence[Estimate]) -> None:
    """A horizontal axis of differences with few ticks and room for the figures beside the marks."""
    low, high = min(0.0, *(one.low for one in found)), max(0.0, *(one.high for one in found))
    width = (high - low) or 1.0
    axes.set_xlim(low - 0.06 * width, high + 0.25 * width)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("worse  ←  difference  →  better")


def metric_dots(title: str, found: Mapping[str, Estimate]) -> Chart:
    """One metric of each ranker with its interval; a row a ranker, the value beside it."""
    names = in_order(found)
    with _figure(title, 0.8 + 0.36 * len(names)) as (figure, axes):
        for place, name in enumerate(names):
            _whiskers(axes, place, found[name], COLORS[name])
            _beside(axes, place, found[name].high, f"{found[name].mean:.4f}")
        _rows(axes, [LABELS[name] for name in names])
        top = max(of_ranker.high for of_ranker in found.values())
        axes.set_xlim(0, top * 1.2 or 1)
        return Chart(svg(figure))


def gain_dots(title: str, sampled: Mapping[str, Estimate], full: Mapping[str, Estimate]) -> Chart:
    """Differences of one metric with their intervals against 0: among candidates, and on the full catalogue."""
    names = in_order(sampled)
    with _figure(title, 1.15 + 0.46 * len(names)) as (figure, axes):
        axes.axvline(0, color=MUTED, linewidth=1.2, zorder=1)
        for place, name in enumerate(names):
            first = place == 0  # one entry in the legend
            _whiskers(axes, place - 0.15, sampled[name], COLORS["model"], label="among candidates" if first else "")
            if name in full:
                label = "full catalogue" if first else ""
                _whiskers(axes, place + 0.15, full[name], FURTHER[0], hollow=True, label=label)
        _rows(axes, [f"over {LABELS[name]}" for name in names])
        _differences(axes, [*sampled.values(), *full.values()])
        legend_below(figure, axes)
        return Chart(svg(figure))


def curves(title: str, label: str, values: Mapping[str, Sequence[float]]) -> Chart:
    """A metric by its cutoff, 1 to 20."""
    with _figure(title, 3.2) as (figure, axes):
        for name in in_order(values):
            style = {"color": COLORS[name], "linestyle": _DASHES[name], "label": LABELS[name], "linewidth": 2}
            axes.plot(list(_CURVE), values[name], **style)
        axes.set(xlabel="K", ylabel=label, ylim=(0, None), xlim=(1, _CURVE[-1]))
        axes.set_xticks([1, 5, 10, 15, 20])
        legend_below(figure, axes)
        return Chart(svg(figure))


def curve(of: Any, ranked: Any) -> list[float]:
    """A metric's mean for each cutoff of :func:`curves`."""
    return [float(of(ranked, cutoff).mean()) for cutoff in _CURVE]


def ranks_found(places: Mapping[str, Ranks], n_items: int) -> Chart:
    """How far down a list people would have to look: share of test items found among the first so many."""
    with _figure("How far down the test items stand", 3.2) as (figure, axes):
        for name in in_order(places):
            at, counts = np.unique(places[name], return_counts=True)
            share = np.cumsum(counts) / len(places[name])
            shown = _thinned(at)
            style = {"color": COLORS[name], "linestyle": _DASHES[name], "label": LABELS[name], "linewidth": 2}
            axes.plot(at[shown], share[shown], **style)
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
        axes.set(
            xlabel="first so many of the catalogue", ylabel="test items found", ylim=(0, 1), xlim=(1, max(n_items, 2))
        )
        _percent(axes.yaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))


def rank_histogram(places: Ranks, n_items: int) -> Chart:
    """In which places the model's test items stand, in bins of equal width on a logarithmic axis."""
    with _figure("Places of the test items") as (figure, axes):
        edges = np.unique(np.geomspace(1, n_items + 1, 24).round()).tolist()
        axes.hist(places, bins=edges, color=ACCENT, rwidth=0.92)
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="place in the full catalogue", ylabel="test items")
        return Chart(svg(figure))


def popularity_bias(recommended: Mapping[str, float], taken: float) -> Chart:
    """How popular the recommended items are, beside those that users took themselves."""
    names = in_order(recommended)
    with _figure("How popular recommended items are", 1.3 + 0.36 * len(names)) as (figure, axes):
        axes.axvline(taken, color=CONTRAST, linewidth=1.6, linestyle="--", label="what users took themselves", zorder=1)
        for place, name in enumerate(names):
            value = recommended[name]
            axes.plot([taken, value], [place, place], color=COLORS[name], linewidth=2.2, zorder=2)
            axes.plot([value], [place], "o", color=COLORS[name], markersize=7, zorder=3)
            _beside(axes, place, max(value, taken), f"{value:.1%}")
        _rows(axes, [LABELS[name] for name in names])
        axes.set_xlim(0, max([*recommended.values(), taken]) * 1.18 or 1)
        axes.set_xlabel("users who had such an item")
        _percent(axes.xaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))


def long_tail(popularity: NDArray[np.int64], recommended: Mapping[str, NDArray[np.int64]]) -> Chart:
    """Which share of recommendations goes to the most popular items; the same of interactions, for comparison."""
    order = np.argsort(-popularity, kind="stable")
    items = np.arange(1, len(order) + 1) / len(order)
    shown = _thinned(np.arange(1, len(order) + 1))
    with _figure("Who gets the recommendations", 3.2) as (figure, axes):
        for name in in_order(recommended):
            share = np.cumsum(recommended[name][order]) / max(recommended[name].sum(), 1)
            style = {"color": COLORS[name], "linestyle": _DASHES[name], "label": LABELS[name], "linewidth": 2}
            axes.plot(items[shown], share[shown], **style)
        taken = np.cumsum(popularity[order]) / max(popularity.sum(), 1)
        axes.plot(items[shown], taken[shown], color=CONTRAST, linewidth=1.4, label="interactions")
        axes.set_xscale("log")
        axes.set(xlabel="most popular items (share of the catalogue)", ylabel="recommendations", ylim=(0, 1.02))
        axes.set_xlim(min(items[0], 0.5), 1)
        _percent(axes.xaxis)
        _percent(axes.yaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))


def groups(title: str, unit: str, metric: str, found: Sequence[GroupSummary]) -> Chart:
    """A metric of each ranker in each group of test positives, with its interval."""
    names = in_order(found[0].of_rankers)
    with _figure(title, 3.2) as (figure, axes):
        step = 0.7 / len(names)
        for row, name in enumerate(names):
            at = np.arange(len(found)) + (row - (len(names) - 1) / 2) * step
            of_groups = [group.of_rankers[name][metric] for group in found]
            for x, of_group in zip(at, of_groups, strict=True):
                axes.plot([x, x], [of_group.low, of_group.high], color=COLORS[name], linewidth=2, zorder=2)
            means = [of_group.mean for of_group in of_groups]
            axes.plot(at, means, "o", color=COLORS[name], markersize=6, label=LABELS[name], zorder=3)
        axes.set_xticks(range(len(found)), [group.name for group in found])
        axes.set_xlim(-0.5, len(found) - 0.5)
        axes.grid(visible=False, axis="x")
        axes.set(xlabel=unit, ylabel="HR@10", ylim=(0, None))
        legend_below(figure, axes)
        return Chart(svg(figure))


def champion_gains(found: Mapping[str, Estimate], labels: Mapping[str, str], allowed: float) -> Chart:
    """Model minus champion with intervals against 0, and what the gate allows."""
    names = [name for name in labels if name in found]
    with _figure("This model minus the champion", 1.35 + 0.42 * len(names)) as (figure, axes):
        axes.axvline(0, color=MUTED, linewidth=1.2, zorder=1)
        axes.axvline(-allowed, color=CONTRAST, linewidth=1.4, linestyle="--", label="allowed loss of NDCG@10", zorder=1)
        for place, name in enumerate(names):
            _whiskers(axes, place, found[name], COLORS["model"], hollow="full" in name)
            _beside(axes, place, found[name].high, f"{found[name].mean:+.4f}")
        _rows(axes, [labels[name] for name in names])
        _differences(axes, [*found.values(), Estimate(-allowed, -allowed, -allowed)])
        legend_below(figure, axes)
        return Chart(svg(figure))


def _thinned(at: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Indices of ascending ``at`` that suffice to draw it on a logarithmic axis: some hundreds."""
    wanted = np.geomspace(at[0], at[-1], 300)
    return np.unique(np.searchsorted(at, wanted, side="left").clip(0, len(at) - 1))


def _percent(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
