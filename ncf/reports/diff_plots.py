"""Plots of the diff of two models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ncf.evaluation.diff import Diff, GroupDiff
from ncf.reports.numbers import percent
from ncf.reports.plots import MODEL, Chart, legend_below, percent_ticks, plot, svg

_WIDTH, _HEIGHT = 5.2, 3.0
_LABEL_BARS = 4
"""Bars beside which the label of their axis fits."""
_SHADES = {"same list": 0.22, "some items changed": 0.55, "all items changed": 1.0}
"""Kind of change -> opacity of its bars."""


def overlap(difference: Diff) -> Chart:
    """Share of users by the number of items that their two lists have in common."""
    counts = np.bincount(difference.shared, minlength=difference.lists_after.shape[1] + 1)
    share = counts / counts.sum()
    with plot(_WIDTH, _HEIGHT) as (figure, axes):
        axes.set_title("Items that stay in the list of a user")
        axes.bar(range(len(share)), share, color=MODEL, width=0.82)
        for at, value in enumerate(share.tolist()):
            if value:
                axes.text(at, value, percent(value, 0 if value >= 0.01 else 1), ha="center", va="bottom", fontsize=8)
        axes.set_xticks(range(len(share)))
        axes.set(xlabel="items that both lists have", ylabel="users", ylim=(0, 1.1 * share.max()))
        axes.grid(visible=False, axis="x")
        percent_ticks(axes.yaxis)
        return Chart(svg(figure))


def groups(found: Sequence[GroupDiff]) -> Chart:
    """Shares of users whose lists stay, change in part and change wholly, by activity."""
    users = np.array([group.users for group in found])
    unchanged, replaced = (np.array([getattr(group, name) for group in found]) for name in ("unchanged", "replaced"))
    shares: list[NDArray[np.float64]] = [
        unchanged / users,
        (users - unchanged - replaced) / users,
        replaced / users,
    ]
    with plot(_WIDTH, 1.5 + 0.42 * max(len(found), _LABEL_BARS)) as (figure, axes):
        axes.set_title("Change of the lists by activity")
        left = np.zeros(len(found))
        for (label, shade), share in zip(_SHADES.items(), shares, strict=True):
            axes.barh(range(len(found)), share, left=left, color=MODEL, alpha=shade, height=0.66, label=label)
            left = left + share
        axes.set_yticks(range(len(found)), [group.name for group in found])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel="users", ylabel="interactions of the user", xlim=(0, 1))
        percent_ticks(axes.xaxis)
        legend_below(figure, axes)
        return Chart(svg(figure))
