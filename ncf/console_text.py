"""Text on the console: control characters of others' text are escaped, and any encoding of the terminal suffices."""

from __future__ import annotations

import io
import logging
import re
import sys

# control characters except the tab, characters that change the direction of text, line separators, lone surrogates
_HIDDEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_QUOTE = "  | "


def visible(text: str) -> str:
    r"""One line of text, with escapes such as ``\x1b`` for what could change the terminal or forge a line."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_error(message: str) -> str:
    """An error message. Line breaks are kept only around the log lines that it quotes."""
    lines = message.split("\n")
    shown = visible(lines[0])
    for before, line in zip(lines, lines[1:], strict=False):
        is_kept = line.startswith(_QUOTE) or before.startswith(_QUOTE)
        shown += ("\n" if is_kept else "\\n") + visible(line)
    return shown


class LogFormatter(logging.Formatter):
    """Formatter whose messages are one line. The traceback of an exception follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = visible(record.message)
        return super().formatMessage(record)


def accept_any_text() -> None:
    """Make stdout and stderr print escapes for characters that the encoding of the terminal lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
