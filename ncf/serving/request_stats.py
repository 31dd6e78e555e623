"""Statistics of one request, for the metrics and the log."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ncf.api.answers import AnyList, source_of
from ncf.api.requests import AnyForm


@dataclass
class RequestStats:
    """Statistics of one request.

    Attributes:
        status: HTTP status of the answer.
        forms: labels of the forms in the body.
        k: number of items requested, of the last form that says.
        lists: number of lists of items in the answer.
        sources: number of lists by source.
        target: name of the model in a request to a multi-model endpoint; '' otherwise.
    """

    status: int = 500
    forms: set[str] = field(default_factory=set)
    k: int | None = None
    lists: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    target: str = ""

    def add(self, form: AnyForm, answer: AnyList) -> None:
        """Count a list of items."""
        self.k = getattr(form, "k", None)
        self.lists += 1
        self.sources[source_of(answer)] += 1

    @property
    def form(self) -> str:
        """Label of the form; ``mixed`` for several, ``unknown`` if the request was refused before it was read."""
        return "mixed" if len(self.forms) > 1 else next(iter(self.forms), "unknown")

    def log_line(self, seconds: float) -> str:
        """One line of JSON without ids.

        Args:
            seconds: duration of the request.
        """
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "status": self.status,
            "latency_ms": round(seconds * 1000, 3),
        }
        if self.target:
            line["target"] = self.target
        if self.forms:
            line["form"] = self.form
        if self.lists:
            line |= {"batch": self.lists, "fallback_share": round(self.sources["popular"] / self.lists, 4)}
        if self.k is not None:
            line["k"] = self.k
        return json.dumps(line)
