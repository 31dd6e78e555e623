"""HTML reports: pages of text, key figures, tables and charts, without external resources, for light and dark screens.

A report of a new component::

    rows = [("Heat", 120), ("Alien", 80)]
    section = Section("Most popular items", tables=[Table(("title", "interactions"), rows)])
    self.report.write_text(render(Report("Popularity", "ratings.csv", [section])))

All texts are escaped when the page is rendered. Charts come from :mod:`ncf.reports.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ncf.reports.numbers import count, is_column_of_numbers
from ncf.reports.plots import Chart

if TYPE_CHECKING:
    from jinja2 import Template
    from pydantic.fields import FieldInfo

TEMPLATE = Path(__file__).with_name("report.html")
_LINKS = "<!-- links -->"


@dataclass(frozen=True)
class Marked:
    """A table cell in colour: ``good`` for what comes, ``bad`` for what goes, ``same`` beside them for what stays.

    The text says it without colour too.
    """

    text: str
    tone: Literal["good", "bad", "same"]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Noted:
    """A table cell with a second, smaller line, such as the interval of a mean."""

    text: str
    note: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Table:
    """A table. The first cell names its row; columns of numbers are aligned right.

    Attributes:
        columns: the column names, each ``""`` for a table without a header.
        rows: cells of any type, as many in each row as there are columns.
        caption: a line above the table.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def right(self, column: int) -> bool:
        """Whether a column is aligned right. The first column never is."""
        return column > 0 and is_column_of_numbers([row[column] for row in self.rows])

    @property
    def has_header(self) -> bool:
        return any(self.columns)


@dataclass(frozen=True)
class Tile:
    """A key figure: ``value`` large, ``label`` small above it, ``note`` below it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report. Its content is shown in the order text, tiles, charts, tables; empty parts are left out."""

    heading: str
    text: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    tone: Literal["plain", "good", "bad"] = "plain"


@dataclass(frozen=True)
class Report:
    """A page."""

    title: str
    subtitle: str = ""
    sections: Sequence[Section] = field(default_factory=tuple)


def render(report: Report) -> str:
    """The page as HTML. The same report gives the same bytes."""
    return _template().render(report=report, links=_LINKS)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = _cell
    environment.filters["tone"] = _tone
    environment.filters["note"] = _note
    return environment.from_string(TEMPLATE.read_text())


def _cell(value: object) -> object:
    return count(int(value)) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _tone(value: object) -> str:
    """The CSS class of a cell; '' for none."""
    return value.tone if isinstance(value, Marked) else ""


def _note(value: object) -> str:
    """The second line of a cell; '' for none."""
    return value.note if isinstance(value, Noted) else ""


def with_links(page: str, links: Mapping[str, str]) -> str:
    """A rendered page with links below its title, for a folder that holds several reports.

    Args:
        page: the result of :func:`render`.
        links: label -> relative path of a file that lies in the same folder.

    >>> page = render(Report("Evaluation"))
    >>> '<a href="data-report.html">Data report</a>' in with_links(page, {"Data report": "data-report.html"})
    True
    """
    anchors = " · ".join(f'<a href="{escape(path)}">{escape(label)}</a>' for label, path in links.items())
    return page.replace(_LINKS, f"<nav>{anchors}</nav>", 1)


def settings_table(values: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> Table:
    """Parameters with their values and descriptions, which give units and the meaning of 0. Empty values are left out.

    Args:
        values: parameter name -> value.
        fields: parameter name -> field of a pydantic model, for example ``Hyperparameters.model_fields``. A parameter
            without a field is shown without a description.
    """
    rows = [
        (name, str(value), (found.description or "") if (found := fields.get(name)) else "")
        for name, value in values.items()
        if value not in (None, "", [], {})
    ]
    return Table(("parameter", "value", "meaning"), rows)
