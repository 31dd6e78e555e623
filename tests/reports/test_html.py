"""Reports are pages of their own: whole, escaped, the same bytes every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ncf.reports.html import (
    Chart,
    Report,
    Section,
    Table,
    Tile,
    legend_below,
    log_histogram,
    plain_numbers,
    plot,
    render,
    svg,
)

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
    assert [table.right(place) for place in range(2)] == right
    text = render(Report("t", sections=[Section("s", tables=[table])]))
    assert text.count('class="figure"') == (1 + len(column)) * sum(right)


def labels_of(drawn: str) -> list[str]:
    """Texts of a figure in SVG."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", drawn)


@pytest.mark.parametrize(
    ("counts", "labels"),
    [((1, 3), ["1", "2"]), ((1, 90), ["1", "2", "5", "10", "20", "50"]), ((1, 2500), ["1", "10", "100", "1,000"])],
)
def test_counts_on_a_logarithmic_axis_are_plain_numbers(counts: tuple[int, int], labels: list[str]) -> None:
    with plot() as (figure, axes):
        axes.bar([0, 1], counts)
        axes.set_xticks([])
        axes.set_yscale("log")
        axes.set_ylim(0.7, counts[1])
        plain_numbers(axes.yaxis)
        found = labels_of(svg(figure))
    assert sorted(found, key=lambda label: int(label.replace(",", ""))) == labels


@pytest.mark.parametrize("entries", [2, 5, 9])
def test_a_legend_fits_its_figure(entries: int) -> None:
    with plot(5.2, 3.2) as (figure, axes):
        for place in range(entries):
            axes.plot([0, 1], label=f"interactions {place}")
        legend_below(figure, axes)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box, below = legend.get_window_extent(), axes.get_tightbbox()
        assert len(legend.get_texts()) == entries
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0 < box.y1 <= below.y0


def test_same_content_same_bytes() -> None:
    assert page() == page()


def test_ink_follows_the_colour_scheme() -> None:
    drawn = drawing()
    assert "currentColor" in drawn
    assert "#1f2933" not in drawn
    assert drawn.startswith("<svg")


def test_log_histogram_counts_every_value() -> None:
    rng = np.random.default_rng(0)
    for values in (np.array([1]), np.array([1, 2, 1000]), np.ceil(rng.pareto(1, 500) + 1e-9).astype(np.int64)):
        with plot() as (_, axes):
            log_histogram(axes, values)
            assert sum(bar.get_height() for bar in axes.patches) == len(values)
