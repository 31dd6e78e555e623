"""Messages about breached limits: the notification, and the detail of the event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ncf.monitoring.contest import Contest
from ncf.monitoring.findings import Findings

CAUSE = "monitor"
"""Cause of the training run that an event starts. With endpoint and window it names the run."""


def detail(endpoint: str, found: Findings) -> dict[str, Any]:
    """Detail of the event: the same in each try of a window.

    Args:
        endpoint: its name.
        found: in the window.
    """
    window = found.observation.window
    return {
        "cause": CAUSE,
        "endpoint": endpoint,
        "window": window.id,
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "model_version": found.observation.population.version,
        "limits": sorted({breach.limit for breach in found.breaches}),
        "reasons": [breach.text for breach in found.breaches],
    }


@dataclass(frozen=True)
class BreachNotice:
    """Notification of breached limits.

    Attributes:
        endpoint: its name.
        found: in the window.
    """

    endpoint: str
    found: Findings

    @property
    def title(self) -> str:
        count = len(self.found.breaches)
        return f"NCF endpoint {self.endpoint}: {count} limit{'s' if count > 1 else ''} breached"

    @property
    def text(self) -> str:
        """The message on one line: window and each breach."""
        reasons = [breach.text for breach in self.found.breaches]
        return "; ".join([self.title, str(self.found.observation.window), *reasons])

    def body(self) -> dict[str, Any]:
        """The message as the JSON body of a POST request. Chat services show ``text``."""
        return {"text": self.text, **detail(self.endpoint, self.found)}


@dataclass(frozen=True)
class VerdictNotice:
    """Notification that the variants of an experiment can be told apart.

    Attributes:
        endpoint: its name.
        contest: of the variants.
    """

    endpoint: str
    contest: Contest

    @property
    def title(self) -> str:
        return f"NCF endpoint {self.endpoint}: the challenger is {self.contest.verdict}"

    @property
    def text(self) -> str:
        """The message on one line."""
        return f"{self.title}; experiment {self.contest.variants.experiment}: {self.contest.described()}"

    def body(self) -> dict[str, Any]:
        """The message as the JSON body of a POST request. Chat services show ``text``."""
        return {"text": self.text, "endpoint": self.endpoint, "contest": self.contest.content()}
