"""Progress of a piece of work: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ncf.console_text import visible

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Counter of units of work."""

    def update(self, n: int, /) -> object:
        """Count ``n`` more units as done."""


class _Lines:
    """Progress in log lines, one every ten seconds at most."""

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done, self.start = 0, time.monotonic()
        self.last = self.start

    def update(self, n: int, /) -> None:
        self.done += n
        now = time.monotonic()
        if now - self.last < _SECONDS_BETWEEN_LINES:
            return
        self.last = now
        share = f" of {self.total:,} ({self.done / self.total:.0%})" if self.total else ""
        rate = self.done / (now - self.start)
        logging.getLogger(__name__).info(
            "%s: %s%s %s, %s a second", self.description, f"{self.done:,}", share, self.unit, f"{rate:,.0f}"
        )


@contextmanager
def progress(description: str, total: int | None = None, unit: str = "rows") -> Iterator[Progress]:
    """Show the progress of a piece of work.

    Args:
        description: name of the work, such as ``"reading ratings.csv"``.
        total: number of units; None if unknown.
        unit: plural name of the unit.
    """
    if not sys.stderr.isatty():
        yield _Lines(description, total, unit)
        return
    from tqdm import tqdm

    with tqdm(
        desc=visible(description), total=total, unit=f" {unit}", unit_scale=True, leave=False, file=sys.stderr
    ) as bar:
        yield bar
