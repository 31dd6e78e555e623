"""Counts of the steps of the preparation: what each one has dropped, and what is left."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """Counts of one step.

    Attributes:
        name: of the step in metrics.
        what: description of the dropped interactions.
        dropped: number of dropped interactions.
        interactions, users, items: remaining numbers.
    """

    name: str
    what: str
    dropped: int
    interactions: int
    users: int
    items: int


@dataclass
class Steps:
    """Counts of the steps so far. Repeated steps are added up."""

    by_name: dict[str, Step] = field(default_factory=dict)
    remaining: int = 0

    def add(self, name: str, what: str, user: NDArray[np.int32], item: NDArray[np.int32]) -> None:
        dropped = self.remaining - len(user) if self.by_name else 0
        dropped += self.by_name[name].dropped if name in self.by_name else 0
        self.remaining = len(user)
        self.by_name[name] = Step(name, what, dropped, len(user), _distinct(user), _distinct(item))


def _distinct(index: NDArray[np.int32]) -> int:
    return int((np.bincount(index) > 0).sum()) if len(index) else 0
