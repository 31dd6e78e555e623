"""Reports are pages of their own: whole, escaped, the same bytes every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ncf.report import Chart, Report, Section, Table, Tile, log_histogram, plot, render, svg

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
    [("1,000", True), ("83.3 %", True), (0.5, True), ("-2.5%", True), (".7 ± .01", True), ("none", False), ("", False)],
)
def test_numbers_stand_right(cell: object, right: bool) -> None:
    text = render(Report("t", sections=[Section("s", tables=[Table(("c",), [(cell,)])])]))
    assert (f'<td class="figure">{cell}</td>' in text) is right
    assert (f"<td>{cell}</td>" in text) is not right


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
