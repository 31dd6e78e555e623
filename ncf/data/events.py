"""Event types of interactions, and the weights of positives."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import OFF, SHOWN_CHARACTERS, Block, Column
from ncf.data.factorise import Ids
from ncf.errors import InputError

OTHERS = "*"
"""Name in the weights that stands for all other event types."""
EVENT_NAMES = (
    "eventtype", "event", "eventname", "action", "actiontype", "useraction", "behavior", "behaviour", "behaviortype",
    "behaviourtype", "interactiontype", "interaction", "activitytype", "feedbacktype",
)  # fmt: skip
NO_WEIGHTS: Mapping[str, float] = MappingProxyType({})
_ROLE = "event"
_MAX_TYPES = 1000
_MAX_LISTED = 20
_log = logging.getLogger(__name__)


def event_columns(column: str, weights: Mapping[str, float]) -> tuple[Column, ...]:
    """The column of event types, if events have weights or it is given by name or number. Else nothing is read.

    It is found by a usual name only: files without a header have no usual place for it.
    """
    if not (column or weights):
        return ()
    return (Column(_ROLE, EVENT_NAMES, 0, column, required=column.strip().lower() != OFF),)


@dataclass(frozen=True)
class EventType:
    """An event type in the data.

    Attributes:
        name: the value of the column.
        weight: of each event; 0 if they are left out.
        count: number of events.
        in_window: number of events in the time window; all of them without a window.
    """

    name: str
    weight: float
    count: int
    in_window: int


class Events:
    """Event types of the blocks of all files.

    Args:
        weights: of types, in which :data:`OTHERS` may stand for all others.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._ids = Ids(_ROLE, "event types")
        self._first: dict[str, str] = {}
        """File and row of the first event of the first type without a weight."""

    def read(self, block: Block) -> NDArray[np.int16]:
        """Numbers of the event types in a block, int16 [rows]; negative without one.

        Raises:
            InputError: if there are more types than a column of event types has.
        """
        import pyarrow as pa

        known = len(self._ids)
        if pa.types.is_boolean(block.columns[_ROLE].type):
            text = block.columns[_ROLE].cast(pa.string())
            block = Block(block.path, {_ROLE: text}, block.names, block.rows, block.row_number)
        numbers = self._ids.encode(block)
        if len(self._ids) > _MAX_TYPES:
            index = int((numbers == _MAX_TYPES).argmax())
            raise block.fault(
                _ROLE,
                index,
                f"'{block.text(_ROLE, index)[:SHOWN_CHARACTERS]}' is the {_MAX_TYPES + 1:,}th value; a column of event "
                f"types has {_MAX_TYPES:,} at most; event_column names another column",
            )
        for number, name in enumerate(self._ids.names[known:], known):
            if self._weights and not self._first and weight_of(name, self._weights) is None:
                index = int((numbers == number).argmax())
                self._first[name] = f"{block.path}: row {block.row_number(index)}, column '{block.names[_ROLE]}'"
        return numbers.astype(np.int16)

    def result(self, parts: Sequence[NDArray[np.int16]], path: Path) -> tuple[list[str], NDArray[np.int16]]:
        """Event types in their natural order, and the index of each event's type, int16 [n].

        Args:
            parts: numbers of all blocks, from :meth:`read`.
            path: of the file or folder, for messages.

        Raises:
            InputError: if the weights are missing, or a type has none.
        """
        names, order = self._ids.sorted()
        index = order.astype(np.int16)
        events = np.concatenate([index[part] for part in parts])
        counts = dict(zip(names, np.bincount(events, minlength=len(names)).tolist(), strict=True))
        if not self._weights:
            example = ", ".join(f'"{name}": 1' for name in names[:_MAX_LISTED])
            raise InputError(
                f"{path}: event_column is given, but no event_weights; expected a weight for each event type, such as "
                f"{{{example}}}, where 0 leaves events out; the types are {_listed(counts)}"
            )
        for name, place in self._first.items():
            others = [other for other in names if other != name and weight_of(other, self._weights) is None]
            more = f" (nor have {', '.join(map(repr, others[:_MAX_LISTED]))})" if others else ""
            raise InputError(
                f"{place}: event type '{name[:SHOWN_CHARACTERS]}', of {counts[name]:,} events, has no weight in "
                f"event_weights{more}; expected weights for {_listed(counts)}, or '{OTHERS}' for all others"
            )
        if unused := [name for name in self._weights if name not in counts and name != OTHERS]:
            _log.warning(
                "event_weights has %s, which no event is; the types are %s",
                ", ".join(map(repr, unused[:_MAX_LISTED])), _listed(counts),
            )  # fmt: skip
        return names, events


def weight_of(name: str, weights: Mapping[str, float]) -> float | None:
    """Weight of an event type; None if it has none."""
    return weights.get(name, weights.get(OTHERS))


def weight_table(names: Sequence[str], weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Weight of each event type, float32 [types]."""
    return np.array([weight_of(name, weights) for name in names], np.float32)


def summed(group: NDArray[np.int64], weight: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """Sum of the weights in each group, float32 [groups]. It does not depend on the order of rows.

    The sum of a positive's events is the observation r of Hu, Koren and Volinsky (2008), in whose confidence it grows
    with each event.

    Args:
        group: index of each event's group.
        weight: of each event; few values occur.
        groups: number of groups.
    """
    total = np.zeros(groups)
    for value in np.unique(weight).tolist():
        total += value * np.bincount(group[weight == value], minlength=groups)
    return total.astype(np.float32)


def _listed(counts: Mapping[str, int]) -> str:
    """Event types with their counts, the most frequent first."""
    most = sorted(counts, key=lambda name: -counts[name])
    shown = ", ".join(f"'{name[:SHOWN_CHARACTERS]}' ({counts[name]:,})" for name in most[:_MAX_LISTED])
    return f"{shown} and {len(most) - _MAX_LISTED} more" if len(most) > _MAX_LISTED else shown
