"""Plots of the evaluation report. Each ranker has the same colour and line style in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.evaluation.intervals import Estimate
from ncf.evaluation.metrics import Ranks
from ncf.evaluation.names import LABELS, in_order
from ncf.evaluation.summary import GroupSummary
from ncf.reports.numbers import count, decimal, percent
from ncf.reports.plots import (
    CHAMPION,
    DATA,
    INK,
    MODEL,
    OTHERS,
    Chart,
    legend_below,
    percent_ticks,
    plain_numbers,
    plot,
    svg,
    thinned,
)

COLORS = {
    "model": MODEL,
    "champion": CHAMPION,
    "ease": OTHERS[0],
    "sparse_ease": OTHERS[0],
    "item_knn": OTHERS[1],
    "popularity": OTHERS[2],
}
_DASHES = {"model": "-", "champion": "-", "ease": "--", "sparse_ease": "--", "item_knn": "-.", "popularity": ":"}
_WIDTH = 5.2
_HEIGHT = 3.2
_CUTOFFS = range(1, 21)


@contextmanager
def _figure(title: str, height: float = _HEIGHT) -> Iterator[tuple[Any, Any]]:
    with plot(_WIDTH, height) as (figure, axes):
        axes.set_title(title)
        yield figure, axes


def _line(name: str) -> dict[str, Any]:
    return {"color": COLORS[name], "linestyle": _DASHES[name], "label": LABELS[name], "linewidth": 2}


def _whiskers(axes: Any, row: float, found: Estimate, color: str) -> None:
    axes.plot([found.low, found.high], [row, row], color=color, linewidth=2.2, solid_capstyle="round", zorder=2)
    axes.plot([found.mean], [row], "o", color=color, markersize=7, zorder=3)


def _rows(axes: Any, names: Sequence[str], margin: float = 0.6) -> None:
    """Names on the vertical axis, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 1 + margin, -margin)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _value(axes: Any, row: float, text: str) -> None:
    """A number at the right end of a row."""
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)


def _differences(axes: Any, found: Sequence[Estimate]) -> None:
    """A horizontal axis of differences, with a line at 0 and few ticks."""
    low, high = min(0.0, *(one.low for one in found)), max(0.0, *(one.high for one in found))
    width = (high - low) or 1.0
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    axes.set_xlim(low - 0.06 * width, high + 0.06 * width)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("worse  ←  difference  →  better")


def gains(title: str, found: Mapping[str, Estimate]) -> Chart:
    """The model minus each baseline in one metric, with intervals."""
    names = in_order(found)
    with _figure(title, 1.0 + 0.4 * len(names)) as (figure, axes):
        for row, name in enumerate(names):
            _whiskers(axes, row, found[name], COLORS[name])
            _value(axes, row, decimal(found[name].mean, sign=True))
        _rows(axes, [f"over {LABELS[name]}" for name in names])
        _differences(axes, list(found.values()))
        return Chart(svg(figure))


def curves(label: str, metric: Callable[..., NDArray[np.float64]], ranks: Mapping[str, Ranks]) -> Chart:
    """A metric by its cutoff, 1 to 20.

    Args:
        label: of the metric, such as ``HR``.
        metric: from ranks, int64 [m], and a cutoff to values, float64 [m].
        ranks: ranker -> ranks of the test items.
    """
    with _figure(f"{label}@K by the length of the list") as (figure, axes):
        for name in in_order(ranks):
            means = [float(metric(ranks[name], cutoff).mean()) for cutoff in _CUTOFFS]
            axes.plot(list(_CUTOFFS), means, **_line(name))
        axes.set(xlabel="K", ylabel=f"{label}@K", ylim=(0, None), xlim=(1, _CUTOFFS[-1]))
        axes.set_xticks([1, 5, 10, 15, 20])
        legend_below(figure, axes)
        return Chart(svg(figure))


def ranks_found(ranks: Mapping[str, Ranks], n_items: int) -> Chart:
    """The share of test items at or above each rank of the whole catalogue."""
    with _figure("Test items found by rank") as (figure, axes):
        for name in in_order(ranks):
            at, counts = np.unique(ranks[name], return_counts=True)
            share = np.cumsum(counts) / len(ranks[name])
            shown = thinned(at)
            axes.plot(at[shown], share[shown], **_line(name))
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
        axes.set(xlabel="rank in the whole catalogue", ylabel="test items", ylim=(0, 1), xlim=(1, max(n_items, 2)))
        percent_ticks(axes.yaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))


def popularity_bias(recommended: Mapping[str, float], test: float) -> Chart:
    """The mean popularity of recommended items beside that of the test items."""
    names = in_order(recommended)
    with _figure("Popularity of recommended items", 1.3 + 0.36 * len(names)) as (figure, axes):
        axes.axvline(test, color=DATA, linewidth=1.6, linestyle="--", label=f"test items: {percent(test)}", zorder=1)
        for row, name in enumerate(names):
            value = recommended[name]
            axes.plot([test, value], [row, row], color=COLORS[name], linewidth=2.2, zorder=2)
            axes.plot([value], [row], "o", color=COLORS[name], markersize=7, zorder=3)
            _value(axes, row, percent(value))
        _rows(axes, [LABELS[name] for name in names])
        axes.set_xlim(0, max([*recommended.values(), test]) * 1.06 or 1)
        axes.set_xlabel("users with such an item in training")
        percent_ticks(axes.xaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))


def long_tail(popularity: NDArray[np.int64], recommended: Mapping[str, NDArray[np.int64]]) -> Chart:
    """The share of recommendations, and of training interactions, that the most popular items have.

    Args:
        popularity: int64 [n_items], training interactions of each item.
        recommended: ranker -> int64 [n_items], recommendations of each item.
    """
    order = np.argsort(-popularity, kind="stable")
    items = np.arange(1, len(order) + 1) / len(order)
    shown = thinned(np.arange(1, len(order) + 1))
    with _figure("Recommendations of the most popular items") as (figure, axes):
        for name in in_order(recommended):
            share = np.cumsum(recommended[name][order]) / max(recommended[name].sum(), 1)
            axes.plot(items[shown], share[shown], **_line(name))
        share = np.cumsum(popularity[order]) / max(popularity.sum(), 1)
        axes.plot(items[shown], share[shown], color=DATA, linewidth=1.4, label="training interactions")
        axes.set_xscale("log")
        axes.set(xlabel="most popular items (share of the catalogue)", ylabel="recommendations", ylim=(0, 1.02))
        axes.set_xlim(min(items[0], 0.5), 1)
        percent_ticks(axes.xaxis)
        percent_ticks(axes.yaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))


def groups(title: str, unit: str, metric: str, found: Sequence[GroupSummary]) -> Chart:
    """A metric of each ranker in each group of test items, with intervals."""
    names = in_order(found[0].of_rankers)
    with _figure(title, 3.4) as (figure, axes):
        step = 0.7 / len(names)
        for index, name in enumerate(names):
            at = np.arange(len(found)) + (index - (len(names) - 1) / 2) * step
            of_groups = [group.of_rankers[name][metric] for group in found]
            for x, estimate in zip(at, of_groups, strict=True):
                axes.plot([x, x], [estimate.low, estimate.high], color=COLORS[name], linewidth=2, zorder=2)
            means = [estimate.mean for estimate in of_groups]
            axes.plot(at, means, "o", color=COLORS[name], markersize=6, label=LABELS[name], zorder=3)
        labels = [f"{group.name}\n{count(group.positives)} test items" for group in found]
        axes.set_xticks(range(len(found)), labels, fontsize=8)
        axes.set_xlim(-0.5, len(found) - 0.5)
        axes.grid(visible=False, axis="x")
        axes.set(xlabel=unit, ylabel="HR@10", ylim=(0, None))
        legend_below(figure, axes)
        return Chart(svg(figure))


def champion_gains(
    title: str, found: Mapping[str, Estimate], labels: Mapping[str, str], allowed: float | None = None
) -> Chart:
    """The model minus the champion in each metric, with intervals, and the loss that the gate allows, if any."""
    names = [name for name in labels if name in found]
    with _figure(title, 1.35 + 0.42 * len(names)) as (figure, axes):
        if allowed is not None:
            axes.axvline(-allowed, color=INK, linewidth=1.4, linestyle="--", label="allowed loss of NDCG@10", zorder=1)
        for row, name in enumerate(names):
            _whiskers(axes, row, found[name], COLORS["champion"])
            _value(axes, row, decimal(found[name].mean, sign=True))
        _rows(axes, [labels[name] for name in names])
        shown = list(found.values())
        if allowed is not None:
            shown.append(Estimate(-allowed, -allowed, -allowed))
            legend_below(figure, axes)
        _differences(axes, shown)
        return Chart(svg(figure))
