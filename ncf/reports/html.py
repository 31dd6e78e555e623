"""Self-contained HTML reports: text, tables and matplotlib figures as inline SVG, light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).with_name("report.html")
ACCENT, MUTED, CONTRAST = "#2f6f9f", "#9aa5b1", "#c8553d"
"""Colours of figures: the subject, what it is compared with, and what stands out."""
FURTHER = ("#3d8b6e", "#a8812c")
"""Colours of further series, told apart from those above by hue and by brightness."""
_IN_PAGE = {
    color: f"var(--figure-{name}, {color})"
    for name, color in zip(("accent", "muted", "contrast", "third", "fourth"), (ACCENT, MUTED, CONTRAST, *FURTHER))
}
_INK = "#1f2933"
_NUMBER = re.compile(r"[-+±]?[\d.,]+(e[-+]?\d+)?\s?%?( .{1,3} [-+]?[\d.,]+)?")


@dataclass(frozen=True)
class Table:
    """Rows under column names. The first cell names its row; columns of numbers alone are aligned right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def right(self, column: int) -> bool:
        """Whether a column holds numbers, and blanks, alone; that of the names never does."""
        cells = [row[column] for row in self.rows if row[column] != ""]
        return column > 0 and bool(cells) and all(map(_is_number, cells))


@dataclass(frozen=True)
class Chart:
    """A figure as SVG with a sentence below it."""

    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Tile:
    """A key figure: ``value`` large, ``label`` small, ``note`` below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report: what is absent is not shown."""

    heading: str
    text: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    tone: Literal["plain", "good", "bad"] = "plain"


@dataclass(frozen=True)
class Report:
    """A whole page."""

    title: str
    subtitle: str = ""
    sections: Sequence[Section] = field(default_factory=tuple)


def _is_number(cell: object) -> bool:
    """A number, a share, an interval, or a number with its spread."""
    return isinstance(cell, (int, float)) or bool(_NUMBER.fullmatch(str(cell)))


def render(report: Report) -> str:
    """The report as one HTML page without external resources; every text is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text()).render(report=report)


@contextmanager
def plot(width: float = 6.0, height: float = 3.0, columns: int = 1) -> Iterator[tuple[Figure, Any]]:
    """A figure and its axes in the reports' style; :func:`svg` turns it into text.

    Args:
        width: inches of the whole figure.
        height: inches.
        columns: axes side by side; with more than one, an array of axes is given.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": _INK,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": MUTED,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "text.color": _INK,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "ncf",
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(1, columns)


def svg(figure: Figure) -> str:
    """A figure as an inline SVG element: same figure, same bytes; its colours follow the page's scheme."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    for color, variable in _IN_PAGE.items():
        text = text.replace(color, variable)
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)


def log_histogram(axes: Axes, values: Any, color: str = ACCENT) -> None:
    """Histogram of positive whole numbers in logarithmic bins, on a logarithmic horizontal axis."""
    import numpy as np

    top = max(2, int(values.max()) + 1) if len(values) else 2
    edges = np.unique(np.geomspace(1, top, 24).round()).tolist()
    axes.hist(values, bins=edges, color=color, edgecolor="white", linewidth=0.4)
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)


def plain_numbers(axis: Axis) -> None:
    """Ticks of a logarithmic axis of counts as 1, 10, 1,000; 2 and 5 between them where these are few."""

    def text(value: float, _: object) -> str:
        low, high = axis.get_view_interval()
        first = round(value / 10 ** math.floor(math.log10(value) + 1e-9))
        shown = (1, 2, 5) if high < 150 * low else (1,)
        return f"{value:,.0f}" if value >= 1 and first in shown else ""

    axis.set_major_formatter(text)
    axis.set_minor_formatter(text)


def legend_below(figure: Figure, axes: Axes) -> None:
    """A legend below the axes, where it covers nothing, in as many rows as it takes to fit the figure's width."""
    handles, labels = axes.get_legend_handles_labels()
    for rows in range(1, len(labels) + 1):
        columns = math.ceil(len(labels) / rows)
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()
