"""Findings of a verification, a line each, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ncf.console_text import visible

Verdict = Literal["same", "different", "unknown"]
STATUSES = {"same": 0, "different": 1, "unknown": 3}
"""Verdict -> exit status. 2 is for invalid input."""


@dataclass
class Findings:
    """What was found so far; each finding is printed at once.

    Attributes:
        differences: of what is not as it is recorded, in the order in which they were found.
        unknown: what could not be compared.
    """

    differences: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def same(self, link: str, text: str) -> None:
        """Note that a link of the chain is as it is recorded."""
        _print("same", link, text)

    def differs(self, link: str, text: str) -> None:
        """Note a difference."""
        self.differences.append(f"{link}: {text}")
        _print("DIFFERS", link, text)

    def cannot_tell(self, link: str, text: str) -> None:
        """Note what cannot be compared, and why."""
        self.unknown.append(f"{link}: {text}")
        _print("unknown", link, text)

    @property
    def verdict(self) -> Verdict:
        return "different" if self.differences else "unknown" if self.unknown else "same"


def _print(word: str, link: str, text: str) -> None:
    print(f"{word:<9}{link:<21}{visible(' '.join(text.split()))}", flush=True)
