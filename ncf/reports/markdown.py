"""Markdown of the stages' summaries: tables, code, links and escaped text, as the KFP UI shows them.

Ids, titles and error messages come from users' data. They may hold pipes, line breaks, HTML or backticks. All helpers
here escape what they get; only :class:`Markdown` is taken as it is.

>>> print(table(("item", "title", "users"), [(code("a|b"), "<b>Heat</b> | 1995", 1200)]))
| item | title | users |
|---|---|---:|
| `a\\|b` | \\<b\\>Heat\\</b\\> \\| 1995 | 1,200 |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from numbers import Integral

from ncf.console_text import visible
from ncf.reports.numbers import count, is_column_of_numbers

MAX_CELL = 200
"""Characters of an escaped text after which it is cut."""

_SPECIAL = re.compile(r"[\\`*\[\]<>|#~&$]|(?<![^\W_])_|_(?![^\W_])")
"""Characters with a meaning; an underscore within a word has none."""
_FENCE = "```"


class Markdown(str):
    """Text that is Markdown already and is not escaped again."""

    __slots__ = ()


def escape(text: object, limit: int = MAX_CELL) -> Markdown:
    """One line of plain text as Markdown that shows exactly this text.

    Args:
        text: any value; ``None`` gives an empty text, :class:`Markdown` is returned as it is.
        limit: characters of the text that are shown at most; a longer text ends in an ellipsis.

    >>> escape("a*b|c <script>")
    'a\\\\*b\\\\|c \\\\<script\\\\>'
    """
    if isinstance(text, Markdown):
        return text
    line = " ".join(printable("" if text is None else str(text)).split())
    if len(line) > limit:
        line = f"{line[: limit - 1]}…"
    return Markdown(_SPECIAL.sub(r"\\\g<0>", line))


def printable(text: str) -> str:
    """The text with spaces in place of control characters and line breaks."""
    return "".join(char if char.isprintable() else " " for char in text)


def code(text: object) -> Markdown:
    """An inline code span.

    >>> code("s3://bucket/model")
    '`s3://bucket/model`'
    >>> code("a`b")
    '`` a`b ``'
    """
    line = " ".join(printable(str(text)).split())
    fence = "`" * (_longest_run_of_backticks(line) + 1)
    return Markdown(f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}")


def link(text: object, url: str) -> Markdown:
    """A link; the text is escaped. Without a URL, it is the text alone.

    >>> link("report", "https://example.com/a b")
    '[report](<https://example.com/a%20b>)'
    """
    if not url:
        return escape(text)
    safe = "".join(char if char.isprintable() and char not in "<>\\ " else f"%{ord(char):02X}" for char in url)
    return Markdown(f"[{escape(text)}](<{safe}>)" if safe != url else f"[{escape(text)}]({url})")


def code_block(text: str, language: str = "") -> Markdown:
    """A fenced code block of several lines; a fence within the text does not end it."""
    text = "\n".join(map(visible, text.split("\n")))
    fence = "`" * max(len(_FENCE), _longest_run_of_backticks(text) + 1)
    return Markdown(f"{fence}{language}\n{text}\n{fence}")


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> Markdown:
    """A table. Columns of numbers are aligned right; integers get thousands separators.

    Args:
        header: the column names, each ``""`` for a table without a header.
        rows: cells of any type, as many in each row as there are columns.

    Raises:
        ValueError: if a row has more or fewer cells than the header.

    >>> print(table(("", "HR@10"), [("model", "0.7459"), ("popularity", "0.5902")]))
    |  | HR@10 |
    |---|---:|
    | model | 0.7459 |
    | popularity | 0.5902 |
    """
    cells = [list(row) for row in rows]
    for row in cells:
        if len(row) != len(header):
            raise ValueError(f"a table row has {len(row)} cells, the header {len(header)}: {row}")
    sides = ["---:" if is_column_of_numbers([row[at] for row in cells]) else "---" for at in range(len(header))]
    lines = [_row(header), f"|{'|'.join(sides)}|", *map(_row, cells)]
    return Markdown("\n".join(lines))


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(value: object) -> str:
    if isinstance(value, Markdown):  # GitHub's tables split code spans at pipes too
        return re.sub(r"(?<!\\)\|", r"\\|", value)
    return escape(count(int(value)) if isinstance(value, Integral) and not isinstance(value, bool) else value)


def _longest_run_of_backticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
