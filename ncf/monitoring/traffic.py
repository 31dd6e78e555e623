"""Counts over the captured records of a variant, in memory that does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.api.requests import ForHistory, ForItem
from ncf.monitoring.capture import Fault
from ncf.monitoring.clusters import UserNumbers
from ncf.monitoring.concentration import Concentration
from ncf.monitoring.drift import Histogram, effective_size
from ncf.monitoring.population import Population
from ncf.monitoring.shown import FAILED, Shown
from ncf.monitoring.window import HOUR_SECONDS

_BUFFERED = 1 << 16
_MAX_OTHERS = 3
_CHOSEN = (ForHistory.label, ForItem.label)
"""Forms whose items a user has chosen. The items of the others are the caller's choice."""
Counts = NDArray[np.int64]


class Tally:
    """Number of occurrences of each index. They are added in blocks.

    Args:
        size: number of indices.
    """

    def __init__(self, size: int) -> None:
        self._counts = np.zeros(size, np.int64)
        self._waiting: list[int] = []

    def add(self, indices: Sequence[int]) -> None:
        self._waiting += indices
        if len(self._waiting) >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        np.add.at(self._counts, np.array(self._waiting, np.int64), 1)
        self._waiting.clear()

    def merge(self, other: Tally) -> None:
        self._counts += other.counts

    @property
    def counts(self) -> Counts:
        """Occurrences of each index, int64 [size]."""
        self._flush()
        return self._counts


class Traffic:
    """Captured traffic of one variant.

    Args:
        variant: its name.
        population: users and items of the live model.
        numbers: of the users.

    Attributes:
        records: number of records in the window.
        faults: records that cannot be read, by reason.
        forms: lists and scores, by form of the request.
        sources: lists, by source. An answer in CSV names none; its source follows from whether the user is known.
        hours: records by hour, seconds since 1970.
        requested: items in requests.
        unknown_items: those of them that the model does not know.
        of_others: lists of other models than the live one, by whose users and items the figures are made.
        others: versions of such models, the first ones.
    """

    def __init__(self, variant: str, population: Population, numbers: UserNumbers) -> None:
        self.variant = variant
        self.records = 0
        self.faults: Counter[Fault] = Counter()
        self.forms: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.hours: Counter[int] = Counter()
        self._population, self._numbers = population, numbers
        self._items, self._n_items = population.items.index, len(population.items.index)
        self._users = Tally(numbers.size)
        self._served, self._chosen = Tally(self._n_items + 1), Tally(self._n_items + 1)
        self._without_user = self._of_choices = 0
        self.requested = self.unknown_items = self.of_others = 0
        self.others: set[str] = set()

    def count(self, time: float) -> None:
        """Count a record in the window."""
        self.records += 1
        self.hours[int(time) // HOUR_SECONDS * HOUR_SECONDS] += 1

    def add(self, shown: Sequence[Shown]) -> None:
        """Count the lists of a record that was read."""
        for one in shown:
            self.forms[one.form] += 1
            if one.version not in ("", self._population.version):
                self.of_others += 1
                if len(self.others) < _MAX_OTHERS:
                    self.others.add(one.version)
            number = None if one.user is None else self._numbers.of(one.user)
            if number is None:
                self._without_user += 1
            else:
                self._users.add((number,))
            self.sources[one.source or self._implied(number)] += 1
            if one.items:
                self._served.add(self._indices(one.items))
            if one.requested:
                self._add_requested(one)

    def _add_requested(self, one: Shown) -> None:
        indices = self._indices(one.requested)
        self.requested += len(indices)
        self.unknown_items += indices.count(self._n_items)
        if one.form in _CHOSEN:
            self._of_choices += 1
            self._chosen.add(indices)

    def _indices(self, items: Sequence[str]) -> list[int]:
        """Index of each item; the last one for those that the model does not know."""
        return [self._items.get(item, self._n_items) for item in items]

    def _implied(self, number: int | None) -> str:
        return "popular" if number is not None and number >= self._numbers.known else "model"

    @property
    def lists(self) -> int:
        """Lists and scores that were answered."""
        return sum(self.forms.values()) - self.sources[FAILED]

    @property
    def unreadable(self) -> int:
        return sum(self.faults.values())

    @property
    def effective(self) -> float:
        """Independent lists that all lists are worth, as those of a user are alike."""
        return effective_size(self._users.counts, self._without_user)

    @property
    def effective_users(self) -> float:
        """As :attr:`effective`, of lists with a user."""
        return effective_size(self.users)

    @property
    def unknown_users(self) -> float:
        """Share of the lists with a user whose user the model does not know; 0 without lists."""
        users = self.users
        return float(users[self._numbers.known :].sum() / max(1, users.sum()))

    @property
    def users(self) -> Counts:
        """Lists by number of the user, int64 [numbers]."""
        return self._users.counts

    @property
    def served(self) -> Counts:
        """Places in lists by item, int64 [items + 1]; the last entry is for unknown items."""
        return self._served.counts

    def histograms(self) -> dict[str, Histogram]:
        """Distributions by name: users of requests, items in histories of requests, items in lists."""
        users, items, effective = self._population.users, self._population.items, self.effective
        chosen = min(effective, float(self._of_choices))
        found = [
            users.histogram("users", self.users, self.effective_users),
            items.histogram("history_items", self._chosen.counts, chosen),
            items.histogram("served_items", self.served, effective),
        ]
        return {histogram.name: histogram for histogram in found if histogram.total}

    def concentration(self) -> Concentration:
        """Concentration of the items in lists."""
        return Concentration.of(self.served[:-1])

    def merge(self, other: Traffic) -> None:
        """Add the counts of another variant of the same model."""
        self.records += other.records
        self._without_user += other._without_user
        self._of_choices += other._of_choices
        self.requested += other.requested
        self.unknown_items += other.unknown_items
        self.of_others += other.of_others
        self.others |= other.others
        counters: tuple[tuple[Counter[Any], Counter[Any]], ...] = (
            (self.faults, other.faults),
            (self.forms, other.forms),
            (self.sources, other.sources),
            (self.hours, other.hours),
        )
        for own, others in counters:
            own.update(others)
        for tally, more in ((self._users, other._users), (self._served, other._served), (self._chosen, other._chosen)):
            tally.merge(more)
