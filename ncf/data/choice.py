"""Choice of the events that count: those in the time window, of types with a weight above 0."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ncf.data.events import EventType, weight_table
from ncf.data.filtering import select
from ncf.data.reading import Interactions
from ncf.data.split import Split
from ncf.data.steps import Steps
from ncf.data.times import as_date
from ncf.data.window import Window, in_window
from ncf.errors import InputError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        window: the time window, or None for all times.
        types: event types in the data, in their natural order; empty without a column of event types.
    """

    window: Window | None = None
    types: Sequence[EventType] = ()

    def left_out(self) -> str:
        """What leaves events out, and how many; '' if nothing does. It goes behind an error about too few events."""
        window = str(self.window) if self.window and self.window.kept < self.window.events else ""
        return "; ".join(part for part in (window, self.left_out_types()) if part)

    def left_out_types(self) -> str:
        """Event types of weight 0, and how many events of the time window they have; '' if there are none."""
        unused = [event for event in self.types if not event.weight]
        total, without = (sum(event.in_window for event in events) for events in (self.types, unused))
        names = ", ".join(f"'{event.name}'" for event in unused)
        return f"event_weights leaves out {without:,} of {total:,} events: {names}" if unused else ""


def choose(
    read: Interactions, event_weights: Mapping[str, float], since: str, days: int, path: Path, steps: Steps
) -> tuple[Interactions, Choice]:
    """The interactions that count, each with the weight of its event type.

    Args:
        read: all interactions.
        event_weights: weight of each event type.
        since: start of the time window; '' for none.
        days: length of the time window; 0 for none.
        path: of the data, for messages.
        steps: counts, to which those of this choice are added.

    Raises:
        InputError: if there are no times for the time window, or nothing is left.
    """
    window, kept = None, np.ones(len(read), bool)
    if since or days:
        if read.time is None:
            raise InputError(
                f"{path}: 'since' and 'days' choose events by their times, but there are no timestamps, or all are "
                "equal; timestamp_column names their column"
            )
        window, kept = in_window(read.time, since, days, path)
        _log.info("%s", window)
        if window.kept == window.events:
            _log.warning("%s leaves no event out: the oldest is of %s", window.reason, as_date(window.oldest))
        what = f"Before {as_date(window.start)} UTC ({window.reason})"
        steps.add("outside_window", what, read.user[kept], read.item[kept])
    if read.event is None:
        return select(read, kept) if window else read, Choice(window)
    weights = weight_table(read.event_types, event_weights)
    counts = (np.bincount(event, minlength=len(weights)).tolist() for event in (read.event, read.event[kept]))
    chosen = Choice(window, list(map(EventType, read.event_types, weights.tolist(), *counts)))
    weight = weights[read.event]
    kept &= weight > 0
    if left_out := chosen.left_out_types():
        _log.info("%s", left_out)
    if not kept.any():
        raise InputError(f"{path}: no event is left: {chosen.left_out()}; give another event type a weight above 0")
    read = select(replace(read, event=None, weight=weight), kept)
    steps.add("left_out_events", "Event types with weight 0", read.user, read.item)
    return read, chosen


def with_weights(parts: Split, kept: Interactions) -> Split:
    """The split with the weight of each positive.

    Args:
        parts: split of ``kept``, whose pairs of user and item are distinct.
        kept: interactions that were split, with their indices.
    """
    if kept.weight is None:
        return parts
    keys = kept.user.astype(np.int64) << 32 | kept.item
    order = np.argsort(keys)
    keys = keys[order]
    rows = order[np.searchsorted(keys, parts.user.astype(np.int64) << 32 | parts.item)]
    return replace(parts, weight=kept.weight[rows])
