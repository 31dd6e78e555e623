"""Later interactions: those of the window and after it, read as the model's training data were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ncf.artifacts.ids import canonical_id
from ncf.data import reading
from ncf.data.events import OTHERS, event_columns, weight_table
from ncf.data.filtering import select
from ncf.data.layout import Separator
from ncf.data.preparation import Settings
from ncf.data.reading import Interactions
from ncf.data.units import MICROSECONDS
from ncf.errors import InputError
from ncf.monitoring.drift import Histogram, effective_size
from ncf.monitoring.population import Groups, Population
from ncf.monitoring.window import Window

EVENTS = "events"
_DEFAULTS = Settings()


class ReadAs(BaseModel):
    """How interactions are read: parameters of the preprocess stage."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    user_column: str = _DEFAULTS.user_column
    item_column: str = _DEFAULTS.item_column
    rating_column: str = _DEFAULTS.rating_column
    timestamp_column: str = _DEFAULTS.timestamp_column
    event_column: str = _DEFAULTS.event_column
    event_weights: dict[str, float] = Field({})
    separator: Separator = "auto"
    min_rating: float = _DEFAULTS.min_rating
    max_unreadable: float = _DEFAULTS.max_unreadable

    @classmethod
    def of(cls, population: Population) -> ReadAs:
        """The parameters by which the training data were read.

        Raises:
            InputError: if the manifest has other types.
        """
        try:
            return cls.model_validate(population.parameters)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(map(str, first["loc"]))[:100]
            raise InputError(f"the model's manifest: parameter '{name}' of its data set: {first['msg']}") from None


@dataclass(frozen=True)
class LaterInteractions:
    """Positive interactions from the start of a window on, sorted by user and time.

    Attributes:
        users: raw id -> number.
        items: raw id -> number.
        offsets: int64 [users + 1], rows of each user.
        item: int32 [n].
        time: float64 [n], seconds since 1970 UTC.
        end: seconds since 1970 UTC of the latest interaction.
        events: types of all events in the window; None without types.
    """

    users: Mapping[str, int]
    items: Mapping[str, int]
    offsets: NDArray[np.int64]
    item: NDArray[np.int32]
    time: NDArray[np.float64]
    end: float
    events: Histogram | None = None

    @classmethod
    def read(cls, path: Path, window: Window, settings: ReadAs) -> LaterInteractions:
        """Read interactions.

        Args:
            path: file or folder of interactions. Those before the window are left out.
            window: that is monitored.
            settings: of the training data.

        Raises:
            InputError: with the file at fault, or if there are no timestamps, or none in the window or later.
        """
        wanted = (
            *reading.columns(
                settings.user_column, settings.item_column, settings.rating_column, settings.timestamp_column
            ),
            *event_columns(settings.event_column, settings.event_weights),
        )
        read = reading.read_interactions(
            path, wanted, settings.separator, settings.max_unreadable, settings.event_weights
        )
        if read.time is None:
            raise InputError(f"{path}: later interactions are matched by their times, but there are no timestamps")
        read = select(read, read.time >= window.start.timestamp() * MICROSECONDS)
        if not len(read):
            raise InputError(f"{path}: no interaction is of {window} or later; expected interactions after training")
        return cls._of(read, window, settings)

    @classmethod
    def _of(cls, read: Interactions, window: Window, settings: ReadAs) -> LaterInteractions:
        assert read.time is not None
        events = _events(read, window, settings) if read.event is not None else None
        end = float(read.time.max()) / MICROSECONDS
        kept = np.ones(len(read), bool)
        if read.rating is not None:
            kept &= read.rating >= np.float32(settings.min_rating)
        if read.event is not None:
            kept &= weight_table(read.event_types, settings.event_weights)[read.event] > 0
        user, item, time = read.user[kept], read.item[kept], read.time[kept] / MICROSECONDS
        order = np.lexsort((time, user))
        offsets = np.searchsorted(user[order], np.arange(len(read.user_ids) + 1))
        users, items = ({name: number for number, name in enumerate(ids)} for ids in (read.user_ids, read.item_ids))
        return cls(users, items, offsets, item[order], time[order], end, events)

    def of_user(self, user: str, after: float, until: float) -> set[int]:
        """Numbers of the items that a user has interacted with in (after, until], seconds since 1970 UTC."""
        number = self.users.get(user)
        if number is None:
            return set()
        start, end = self.offsets[number], self.offsets[number + 1]
        if start == end:
            return set()
        first, last = np.searchsorted(self.time[start:end], (after, until), side="right")
        return set(self.item[start + first : start + last].tolist())

    def histograms(self, window: Window, population: Population) -> dict[str, Histogram]:
        """Distributions by name of the interactions in a window: users, items, and types of events."""
        inside = self.time < window.end.timestamp()
        user = np.repeat(np.arange(len(self.users)), np.diff(self.offsets))[inside]
        effective = effective_size(np.bincount(user)) if len(user) else 0.0
        found = [
            _grouped("interacting_users", population.users, self.users, user, effective),
            _grouped("interacted_items", population.items, self.items, self.item[inside], effective),
            *([self.events] if self.events else []),
        ]
        return {histogram.name: histogram for histogram in found if histogram.total}


def _grouped(
    name: str, groups: Groups, ids: Mapping[str, int], rows: NDArray[np.integer[Any]], effective: float
) -> Histogram:
    """Rows, int [n] in numbers of ``ids``, by the groups of the model."""
    n = len(groups.index)
    index = np.fromiter((groups.index.get(raw, n) for raw in ids), np.int64, len(ids))
    return groups.histogram(name, np.bincount(index[rows], minlength=n + 1), effective)


def _events(read: Interactions, window: Window, settings: ReadAs) -> Histogram:
    """Types of events in the window: those with a weight of their own, and the others."""
    assert read.event is not None
    assert read.time is not None
    inside = read.time < window.end.timestamp() * MICROSECONDS
    labels = sorted(canonical_id(name) for name in settings.event_weights if name != OTHERS)
    place = {name: index for index, name in enumerate(labels)}
    of_type = np.array([place.get(name, len(labels)) for name in read.event_types], np.int64)
    counts = np.bincount(of_type[read.event[inside]], minlength=len(labels) + 1).tolist()
    users = np.bincount(read.user[inside]) if inside.any() else np.zeros(1, np.int64)
    return Histogram(EVENTS, [*labels, "other types"], counts, effective_size(users))
