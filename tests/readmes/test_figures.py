"""Figures in READMEs are those of BENCHMARKS.md.

A comment names the rows that a table, a paragraph or an item of a list takes its figures from:
``<!-- figures: SECTION -->`` behind a table, whose rows begin as rows of the section do, and
``<!-- figures: SECTION: ROW; ROW -->`` in a text. ROW is the beginning of a row, or of its cells with ``|`` between them.
"""

from __future__ import annotations

import re

import pytest
from readmes import READMES, ROOT, prose

_COMMENT = re.compile(r"<!-- figures: (?P<section>[^:]+?)(?:: (?P<rows>.+?))? -->")
_NUMBER = re.compile(r"(?<![\w.@,/-])-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?![\w@]|\.\d)")
_MEASURED = re.compile(r"(?<![\w.])\.\d{3}|\d (?:ms|s|times|bytes)\b|\d\d MB\b|thousand|samples a second")
"""What only a benchmark can tell: accuracy, speed, memory, ratios. Limits and settings are in words: '60 seconds'."""
_NO_FIGURE = re.compile(r"(?:HR|NDCG)@\d+|p\d+|95 %|MovieLens \d+M")


def _rows(section: str) -> list[list[str]]:
    """Cells of all tables of a section; an empty first cell repeats the one above."""
    text = (ROOT / "BENCHMARKS.md").read_text()
    found = re.search(rf"^##+ {re.escape(section)}\n(.*?)(?=^##+ |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"BENCHMARKS.md has no section '{section}'"
    rows: list[list[str]] = []
    for line in found[1].splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            filled = [cell or above for cell, above in zip(cells[:2], rows[-1])] if rows else cells[:2]
            rows.append([*filled, *cells[2:]])
    return rows


def _row(section: str, name: str) -> str:
    """The first row that begins with a name, with the heads of its columns."""
    wanted = [part.strip() for part in name.split("|")]
    found = [
        row
        for row in _rows(section)
        if row[: len(wanted) - 1] == wanted[:-1] and re.match(rf"{re.escape(wanted[-1])}(?!\w)", row[len(wanted) - 1])
    ]
    assert found, f"BENCHMARKS.md, '{section}': there is no row '{name}'"
    return " | ".join([*found[0], *_rows(section)[0]])


def _numbers(text: str) -> list[str]:
    return [
        number.replace(",", "").rstrip(".") for number in _NUMBER.findall(_NO_FIGURE.sub("", text.replace("**", "")))
    ]


def _agree(shown: str, measured: str) -> bool:
    """Whether a figure is a measured one, rounded."""
    digits = len(shown.partition(".")[2])
    return abs(float(shown) - float(measured)) <= 0.5 * 10.0**-digits + 1e-12


def _units(readme: str) -> list[tuple[str, re.Match[str] | None]]:
    """Tables, paragraphs and items of lists, each with its comment."""
    text = re.sub(r"^(\s*[-*] |\s*\d\. )", r"\n\1", prose(readme), flags=re.MULTILINE)
    return [
        (_COMMENT.sub("", unit), _COMMENT.search(unit))
        for unit in re.split(r"\n\s*\n", text)
        if "<!-- parameters" not in unit
    ]


@pytest.mark.parametrize("readme", READMES)
def test_figures_are_those_of_the_benchmarks(readme: str) -> None:
    for unit, comment in _units(readme):
        if comment is None:
            found = _MEASURED.search(unit)
            assert not found, f"{readme}: '{found and found[0]}' has no comment that names its row:\n{unit}"
            continue
        section, rows = comment["section"], comment["rows"]
        if rows is None:
            for line in unit.strip().splitlines()[2:]:
                name = line.strip("|").split("|")[0].strip()
                _check(f"{readme}: {name}", line.partition(name)[2], [_row(section, name)])
        else:
            _check(readme, unit, [_row(section, row) for row in rows.split("; ")])


def _check(where: str, text: str, rows: list[str]) -> None:
    shown, measured = _numbers(text), _numbers(" ".join(rows))
    assert shown, where
    for number in shown:
        assert any(_agree(number, one) for one in measured), f"{where}: {number} is not in {rows}"


def test_a_wrong_figure_is_found() -> None:
    row = _row("Accuracy", "NeuMF, pre-trained")
    _check("here", "HR@10 .731 and NDCG@10 .453", [row])
    with pytest.raises(AssertionError, match=r"\.732"):
        _check("here", "HR@10 .732", [row])
    with pytest.raises(AssertionError, match="no row"):
        _row("Accuracy", "Neu")
