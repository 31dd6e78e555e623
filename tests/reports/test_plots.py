"""Plots of the reports: they fit their figures, have plain numbers, and follow the page's colours."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ncf.reports import plots
from ncf.reports.html import TEMPLATE
from ncf.reports.plots import legend_below, log_histogram, plain_numbers, plot, svg, thinned


def drawing() -> str:
    with plot(5, 3) as (figure, axes):
        log_histogram(axes, np.arange(1, 500))
        axes.set_xlabel("interactions of an item")
        return svg(figure)


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
        for number in range(entries):
            axes.plot([0, 1], label=f"interactions {number}")
        legend_below(figure, axes)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box, below = legend.get_window_extent(), axes.get_tightbbox()
        assert len(legend.get_texts()) == entries
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0 < box.y1 <= below.y0


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


def test_each_colour_has_a_variable_with_another_value_on_a_dark_page() -> None:
    dark = dict(re.findall(r"--figure-([a-z0-9-]+): (#[0-9a-f]{6})", TEMPLATE.read_text()))
    assert dark.keys() == plots.PALETTE.keys()
    assert not set(dark.values()) & set(plots.PALETTE.values())
    assert len(set(plots.PALETTE.values())) == len(plots.PALETTE)
    assert f"var(--figure-data, {plots.DATA})" in drawing()


def test_a_curve_keeps_its_ends_when_it_is_thinned() -> None:
    at = np.arange(1, 100_001)
    kept = thinned(at)
    assert (kept[0], kept[-1]) == (0, len(at) - 1)
    assert 100 < len(kept) <= 300
    assert thinned(np.array([1, 2, 3])).tolist() == [0, 1, 2]
