"""Plots of the reports: matplotlib figures in one style, as inline SVG that follows the page's colour scheme.

One colour has one meaning in all reports: :data:`MODEL`, :data:`CHAMPION`, :data:`DATA` and one of :data:`OTHERS` for
each baseline. Thresholds and marks are drawn in :data:`INK`.

A chart of a report::

    with plot(5.2, 2.8) as (figure, axes):
        log_histogram(axes, interactions_by_item)
        axes.set(xlabel="interactions of an item", ylabel="items")
        chart = Chart(svg(figure), "Popularity of the items")
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MODEL, CHAMPION, DATA = "#2f6f9f", "#c8553d", "#7d5ba6"
"""Colours of the evaluated model, of its champion, and of the interactions of users."""
OTHERS = ("#3d8b6e", "#a8812c", "#6f7b88")
"""Colours of the baselines, different in hue and in brightness."""
INK = "#1f2933"
"""Colour of text, thresholds and marks."""
_AXES = "#9aa5b1"
PALETTE = {
    "model": MODEL,
    "champion": CHAMPION,
    "data": DATA,
    **{f"other-{number}": color for number, color in enumerate(OTHERS, 1)},
    "axes": _AXES,
}
"""Name -> colour on a light page. In a page each is the CSS variable ``--figure-NAME``, with another value on a dark
page (``report.html``)."""


@dataclass(frozen=True)
class Chart:
    """A figure of a report.

    Attributes:
        svg: the figure, made by :func:`svg`.
        caption: a sentence below it.
        is_wide: whether it takes the whole width of the page rather than half of it.
    """

    svg: str
    caption: str = ""
    is_wide: bool = False


@contextmanager
def plot(width: float = 6.0, height: float = 3.0, columns: int = 1) -> Iterator[tuple[Figure, Any]]:
    """A figure and its axes in the reports' style.

    Args:
        width: of the figure, in inches.
        height: of the figure, in inches.
        columns: axes side by side.

    Yields:
        The figure, and its axes; an array of axes if there are several columns.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": _AXES,
        "axes.labelcolor": INK,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": _AXES,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.color": INK,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "ncf",
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(1, columns)


def svg(figure: Figure) -> str:
    """A figure as an inline SVG element. The same figure gives the same bytes."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    for name, color in PALETTE.items():
        text = text.replace(color, f"var(--figure-{name}, {color})")
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)


def log_histogram(axes: Axes, values: Any, color: str = DATA) -> None:
    """A histogram of positive whole numbers in logarithmic bins on a logarithmic horizontal axis.

    Args:
        axes: to draw on.
        values: int [n], each 1 or more.
        color: of the bars.
    """
    import numpy as np

    top = max(2, int(values.max()) + 1) if len(values) else 2
    edges = np.unique(np.geomspace(1, top, 24).round()).tolist()
    axes.hist(values, bins=edges, color=color, rwidth=0.92)
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)


def plain_numbers(axis: Axis) -> None:
    """Ticks of a logarithmic axis of counts as 1, 10, 1,000, and 2 and 5 between them if the range is short."""

    def text(value: float, _: object) -> str:
        low, high = axis.get_view_interval()
        first = round(value / 10 ** math.floor(math.log10(value) + 1e-9))
        shown = (1, 2, 5) if high < 150 * low else (1,)
        return f"{value:,.0f}" if value >= 1 and first in shown else ""

    axis.set_major_formatter(text)
    axis.set_minor_formatter(text)


def legend_below(figure: Figure, axes: Axes) -> None:
    """A legend below the axes, in as many rows as fit it into the figure's width."""
    handles, labels = axes.get_legend_handles_labels()
    for rows in range(1, len(labels) + 1):
        columns = math.ceil(len(labels) / rows)
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def percent_ticks(axis: Axis) -> None:
    """Ticks of an axis of shares (0 to 1) as percentages."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:g}%")


def thinned(at: NDArray[np.integer[Any]], points: int = 300) -> NDArray[np.intp]:
    """Indices of ascending positive ``at``, int [n], that suffice to draw it on a logarithmic axis.

    Args:
        at: horizontal positions of a curve.
        points: that are kept at most.
    """
    import numpy as np

    wanted = np.geomspace(at[0], at[-1], points)
    return np.unique(np.searchsorted(at, wanted, side="left").clip(0, len(at) - 1))
