"""The variants of an experiment beside each other, by what users did with the lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.api.assignment import is_challenged
from ncf.api.requests import ForCandidates
from ncf.evaluation.always_valid import Verdict, differences, verdict
from ncf.evaluation.intervals import Estimate
from ncf.monitoring.capture import RecordError, parsed, record_of, time_of
from ncf.monitoring.files import Line
from ncf.monitoring.interactions import LaterInteractions
from ncf.monitoring.outcomes import judged
from ncf.monitoring.shown import Shown, shown_by
from ncf.monitoring.window import Window

_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Variants:
    """The two variants of an experiment.

    Attributes:
        experiment: ID of the experiment, by which users are assigned.
        champion, challenger: names of the variants.
        share: of the users that are assigned to the challenger.
        window: from the start of the experiment to the end of the monitored window.
    """

    experiment: str
    champion: str
    challenger: str
    share: float
    window: Window

    def of(self, user: str) -> str:
        """The variant that a user is assigned to."""
        return self.challenger if is_challenged(user, self.experiment, self.share) else self.champion


@dataclass(frozen=True)
class Contest:
    """The comparison of two variants.

    Attributes:
        variants: that are compared.
        users: number of users by variant.
        hit: mean HR@10 by variant; NaN without users.
        days: last day of each look, ISO date.
        looks: HR@10 of the challenger minus the champion's, until each day; None while there are too few users.
        ndcg: NDCG@10 of the challenger minus the champion's; None likewise.
        misrouted: lists of users who are assigned to the other variant.
        without_user: lists without a user.
        too_recent: lists whose horizon has not passed.
    """

    variants: Variants
    users: dict[str, int]
    hit: dict[str, float]
    days: Sequence[str]
    looks: Sequence[Estimate | None]
    ndcg: Estimate | None
    misrouted: int
    without_user: int
    too_recent: int

    @property
    def difference(self) -> Estimate | None:
        """The last of the looks."""
        return self.looks[-1] if self.looks else None

    @property
    def verdict(self) -> Verdict:
        """What the hit rate says about the challenger."""
        return verdict(self.difference)

    def described(self) -> str:
        """The difference in words."""
        if self.difference is None:
            return "too few users for a comparison"
        mean, low, high = self.difference
        return f"HR@10 of the challenger differs by {mean:+.4f} (always-valid 95 % interval {low:+.4f} to {high:+.4f})"

    def content(self) -> dict[str, Any]:
        """All figures, as JSON."""
        return {
            "experiment": self.variants.experiment,
            "since": self.variants.window.start.isoformat(),
            "until": self.variants.window.end.isoformat(),
            "share": self.variants.share,
            "verdict": self.verdict,
            "users": self.users,
            "hr_at_10": {name: value for name, value in self.hit.items() if self.users[name]},
            "hr_at_10_difference": _interval(self.difference),
            "ndcg_at_10_difference": _interval(self.ndcg),
            "lists_misrouted": self.misrouted,
            "lists_without_user": self.without_user,
            "lists_too_recent": self.too_recent,
        }


@dataclass
class _FirstDay:
    """Sums over the lists of a user's first day."""

    day: int
    lists: int = 0
    hits: float = 0.0
    ndcg: float = 0.0


@dataclass
class FirstDays:
    """Outcomes of each user's first day in an experiment: one outcome a user, so that they are independent.

    Memory grows with the users of the experiment.

    Attributes:
        variants: of the experiment.
        later: interactions from the start of the experiment on.
        horizon: seconds after a list in which an interaction counts.
    """

    variants: Variants
    later: LaterInteractions
    horizon: float
    _users: dict[str, _FirstDay] = field(default_factory=dict)
    _left_out: Counter[str] = field(default_factory=Counter)

    def read(self, lines: Iterable[Line]) -> None:
        """Add captured records; those that cannot be read are left out, as the monitoring of their window tells."""
        start, end = self.variants.window.start.timestamp(), self.variants.window.end.timestamp()
        for line in lines:
            try:
                if line.content is None:
                    continue
                content = parsed(line.content)
                time = time_of(content)
                shown = list(shown_by(record_of(content, time))) if start <= time < end else []
            except RecordError:
                continue
            for one in shown:
                self.add(line.variant, time, one)

    def add(self, variant: str, time: float, shown: Shown) -> None:
        """Add a list.

        Args:
            variant: that answered.
            time: of the request, seconds since 1970 UTC.
            shown: the list. One without items has no hit, as users are compared as they were assigned. Scores of given
                items are no list.
        """
        if shown.form == ForCandidates.label or variant not in (self.variants.champion, self.variants.challenger):
            return
        if shown.user is None:
            self._left_out["without_user"] += 1
        elif variant != self.variants.of(shown.user):
            self._left_out["misrouted"] += 1
        elif time + self.horizon > self.later.end:
            self._left_out["too_recent"] += 1
        else:
            self._add(shown, shown.user, time)

    def _add(self, shown: Shown, user: str, time: float) -> None:
        day = int(time) // _DAY_SECONDS
        first = self._users.setdefault(user, _FirstDay(day))
        if day < first.day:  # files need not be in order
            first = self._users[user] = _FirstDay(day)
        if day == first.day:
            hit, ndcg = judged(self.later, shown, time, self.horizon)
            first.lists += 1
            first.hits += hit
            first.ndcg += ndcg

    def contest(self) -> Contest:
        """The comparison of the variants, until each day."""
        users = sorted(self._users, key=lambda user: (self._users[user].day, user))
        entries = [self._users[user] for user in users]
        challenged = np.array([self.variants.of(user) == self.variants.challenger for user in users], bool)
        hit = np.array([entry.hits / entry.lists for entry in entries], np.float64)
        ndcg = np.array([entry.ndcg / entry.lists for entry in entries], np.float64)
        days, ends = np.unique(np.array([entry.day for entry in entries], np.int64), return_index=True)
        looks = [*ends[1:].tolist(), len(users)] if len(users) else []
        names = {self.variants.champion: ~challenged, self.variants.challenger: challenged}
        return Contest(
            variants=self.variants,
            users={name: int(rows.sum()) for name, rows in names.items()},
            hit={name: _mean(hit[rows]) for name, rows in names.items()},
            days=list(_dates(days)),
            looks=differences(challenged, hit, self.variants.share, looks),
            ndcg=differences(challenged, ndcg, self.variants.share, looks)[-1] if looks else None,
            misrouted=self._left_out["misrouted"],
            without_user=self._left_out["without_user"],
            too_recent=self._left_out["too_recent"],
        )


def _interval(value: Estimate | None) -> dict[str, float] | None:
    return value._asdict() if value else None


def _dates(days: NDArray[np.int64]) -> Iterator[str]:
    for day in days.tolist():
        yield datetime.fromtimestamp(day * _DAY_SECONDS, UTC).date().isoformat()


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
