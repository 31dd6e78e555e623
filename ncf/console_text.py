"""Text on the console: control characters of others' text are escaped, and any encoding of the terminal suffices."""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import Any

# control characters except the tab, characters that change the direction of text, line separators, lone surrogates
_HIDDEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_QUOTE = "  | "
_MAX_START, _MAX_END = 6000, 2000  # characters of an error or a log line


def visible(text: str) -> str:
    r"""One line of text, with escapes such as ``\x1b`` for what could change the terminal or forge a line."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """Print one line for a person, at once, as :func:`visible` shows it."""
    print(visible(text), flush=True)


def shortened(message: str) -> str:
    """The start and the end of a message that quotes much of others' text."""
    left_out = len(message) - _MAX_START - _MAX_END
    if left_out <= 0:
        return message
    return f"{message[:_MAX_START]} ... ({left_out} characters) ... {message[-_MAX_END:]}"


def visible_error(message: str) -> str:
    """An error message, shortened. Line breaks are kept only around the log lines that it quotes."""
    lines = shortened(message).split("\n")
    shown = visible(lines[0])
    for before, line in zip(lines, lines[1:], strict=False):
        is_kept = line.startswith(_QUOTE) or before.startswith(_QUOTE)
        shown += ("\n" if is_kept else "\\n") + visible(line)
    return shown


class LogFormatter(logging.Formatter):
    """Formatter whose messages are one line. The traceback of an exception follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = visible(shortened(record.message.rstrip("\n")))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(map(visible, shortened(super().formatException(ei)).split("\n")))


def accept_any_text() -> None:
    """Make stdout and stderr print escapes for characters that the encoding of the terminal lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
