"""Markdown helpers: what comes from users' data is shown as it is and breaks no table."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest

from ncf.reports.markdown import MAX_CELL, Markdown, code, code_block, escape, link, table

HOSTILE = "a|b\nc `d` <script>alert(1)</script> [x](javascript:1) **e** _f_ \\ \x1b[31m"


@pytest.mark.parametrize("name", ["html", "markdown", "numbers"])
def test_examples_of_the_docstrings_hold(name: str) -> None:
    module = importlib.import_module(f"ncf.reports.{name}")
    failed, tried = doctest.testmod(module)
    assert failed == 0
    assert tried > 0


def test_escaped_text_is_one_line_without_markup() -> None:
    text = escape(HOSTILE)
    assert "\n" not in text
    assert "\x1b" not in text
    unescaped = text
    for char in "\\|`<>[]*_#!~&{}$":
        unescaped = unescaped.replace(f"\\{char}", "")
    assert not set("|`<>[]*") & set(unescaped)
    assert escape(text) == text, "what is escaped is not escaped again"


def test_long_text_is_cut_and_words_keep_their_underscores() -> None:
    assert len(escape("x" * 1000)) == MAX_CELL
    assert escape("x" * 1000).endswith("…")
    assert escape("abc", limit=3) == "abc"
    assert escape("min_hr_at_10 _x_") == r"min_hr_at_10 \_x\_"
    assert escape(None) == ""


def test_every_row_of_a_table_has_as_many_cells() -> None:
    text = table(("item|id", "title"), [(code("a|b"), HOSTILE), (link("x|y", "https://host/a|b"), Markdown("a|b"))])
    lines = text.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.replace("\\|", "").count("|") == 3, line


def test_columns_of_numbers_are_aligned_right() -> None:
    rows = [("a", 1000, "0.5", "x"), ("b", np.int64(2000), "", 3)]
    lines = table(("name", "users", "share", "mixed"), rows).splitlines()
    assert lines[1] == "|---|---:|---:|---|"
    assert lines[2:] == ["| a | 1,000 | 0.5 | x |", "| b | 2,000 |  | 3 |"]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="3 cells, the header 2"):
        table(("a", "b"), [(1, 2, 3)])


def test_code_and_fences_hold_backticks() -> None:
    assert code("a``b") == "``` a``b ```"
    block = code_block("one\n```\nthree", "sh").splitlines()
    assert (block[0], block[-1]) == ("````sh", "````")


def test_a_link_stays_within_its_brackets() -> None:
    assert link("a]b", "https://host/x") == r"[a\]b](https://host/x)"
    assert link("a", "https://host/x>y\n") == "[a](<https://host/x%3Ey%0A>)"
