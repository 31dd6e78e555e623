"""HTML reports: well-formed, escaped, without external resources, the same bytes every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from pydantic.fields import FieldInfo

from ncf.reports.html import Marked, Report, Section, Table, Tile, render, settings_table, with_links
from ncf.reports.plots import Chart, log_histogram, plot, svg

VOID = {"meta", "br", "hr", "img", "path", "use", "rect", "line", "circle"}


class Reader(HTMLParser):
    """Collects text and checks that what opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def drawing() -> str:
    with plot(5, 3) as (figure, axes):
        log_histogram(axes, np.arange(1, 500))
        axes.set_xlabel("interactions of an item")
        return svg(figure)


def page() -> str:
    section = Section(
        "Figures & <more>",
        ["A paragraph."],
        [Tile("Users", "1,234", "a <b>note</b>")],
        [Table(("Part", "Interactions", "Share"), [("<train>", "1,000", "83.3 %"), ("none", "", 0.5)])],
        [Chart(drawing(), "A caption")],
        tone="good",
    )
    return render(Report("Title </title>", "under it", [section, Section("Bare")]))


def test_a_page_is_well_formed_and_needs_nothing_else() -> None:
    reader = Reader()
    reader.feed(page())
    assert reader.open == []
    links = [value for _, name, value in reader.attributes if name in ("src", "href", "xlink:href", "action")]
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"@import|url\((?!#)|<script|<link", page())


def test_every_text_is_escaped() -> None:
    reader = Reader()
    reader.feed(page())
    for text in ("Title </title>", "Figures & <more>", "a <b>note</b>", "<train>", "A paragraph.", "A caption"):
        assert text in reader.text


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        ("1,000", True),
        ("83.3 %", True),
        (0.5, True),
        ("-2.5%", True),
        (".7 ± .01", True),
        (1e-05, True),
        ("1e-05", True),
        ("none", False),
        ("", False),
    ],
)
def test_numbers_stand_right(cell: object, right: bool) -> None:
    text = render(Report("t", sections=[Section("s", tables=[Table(("name", "c"), [("a row", cell)])])]))
    assert (f'<td class="figure">{cell}</td>' in text) is right
    assert (f"<td>{cell}</td>" in text) is not right


@pytest.mark.parametrize(
    ("column", "right"),
    [
        (("4 – 7", "32 – 1,567"), [False, True]),
        (("0.05", "1e-05", "neumf"), [False, False]),  # settings: one of them is text
        (("", "1"), [False, True]),
    ],
)
def test_all_of_a_column_stands_on_one_side_and_names_of_rows_left(column: tuple[str, ...], right: list[bool]) -> None:
    table = Table(("name", "value"), [(cell, cell) for cell in column])
    assert [table.right(column) for column in range(2)] == right
    text = render(Report("t", sections=[Section("s", tables=[table])]))
    assert text.count('class="figure"') == (1 + len(column)) * sum(right)


def test_a_marked_cell_has_its_tone_and_is_escaped() -> None:
    table = Table(("before", "after"), [(Marked("− <x>", "bad"), "kept")])
    text = render(Report("t", sections=[Section("s", tables=[table])]))
    assert '<td class="bad">− &lt;x&gt;</td><td>kept</td>' in text


def test_same_content_same_bytes() -> None:
    assert page() == page()


def test_links_stand_below_the_title_of_their_page_alone() -> None:
    assert "<nav" not in page()
    linked = with_links(page(), {"Data <report>": 'data"report.html'})
    assert linked.index("</h1>") < linked.index("<nav>") < linked.index("<section")
    assert '<a href="data&quot;report.html">Data &lt;report&gt;</a>' in linked
    assert linked.replace(linked[linked.index("<nav>") : linked.index("</nav>") + 6], "<!-- links -->") == page()


def test_a_table_shows_counts_with_separators_its_caption_and_no_empty_header() -> None:
    with_header = Table(("name", "users"), [("a", 1234567), ("b", np.int64(4321))], "Users <all>")
    facts = Table(("", ""), [("Run", "r1")])
    text = render(Report("t", sections=[Section("s", tables=[with_header]), Section("s", tables=[facts])]))
    assert '<td class="figure">1,234,567</td>' in text
    assert '<td class="figure">4,321</td>' in text
    assert "<caption>Users &lt;all&gt;</caption>" in text
    assert text.count("<thead>") == 1


def test_settings_have_their_descriptions() -> None:
    fields = {"l2": FieldInfo(description="Regularisation; 0: none")}
    table = settings_table({"l2": 0.0, "other": 3, "path": "", "overrides": {}}, fields)
    assert table.rows == [("l2", "0.0", "Regularisation; 0: none"), ("other", "3", "")]
