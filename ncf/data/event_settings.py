"""Parameters of event types, of their weights and of the time window, as several stages have them."""

from __future__ import annotations

import math

from pydantic import Field, ValidationInfo, field_validator

from ncf.artifacts.ids import canonical_id
from ncf.data.columns import OFF
from ncf.data.events import OTHERS
from ncf.data.times import to_time
from ncf.parameters import Parameters

_BOUNDS = (1e-6, 1e6)  # of a weight: sums of them stay numbers of float32


class EventSettings(Parameters):
    """Events that count: their types, and the time from which on."""

    event_column: str = Field(
        "",
        description="Column of event types (view, purchase, ...): name or number; '': detected (event_type, event, "
        "action, ...) if event_weights are given, else all events count alike; 'none': all events count alike",
    )
    event_weights: dict[str, float] = Field(
        {},
        description='Weight of each event type, such as {"view": 1, "purchase": 5}; 0 leaves its events out; "*" is '
        "the weight of all other types. The weight of a positive is the sum of the weights of its events",
    )
    since: str = Field(
        "",
        description="Start of the time window: ISO date or number (seconds, milliseconds, ... since 1970), UTC; "
        "earlier events are left out; '': all events",
    )
    days: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Length of the time window, which ends at the newest event; earlier events are left out; 0: all "
        "events; with since, the later start counts",
    )

    @field_validator("event_weights")
    @classmethod
    def _are_weights(cls, weights: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        column = info.data.get("event_column", "")
        if weights and column.strip().lower() == OFF:
            raise ValueError(f"event_column is '{column}'; expected the column of event types, or no event_weights")
        low, high = _BOUNDS
        for name, weight in weights.items():
            if not canonical_id(name):
                raise ValueError(f"'{name}' stands for a missing value; expected an event type, or '{OTHERS}'")
            if not math.isfinite(weight) or (weight and not low <= weight <= high):
                raise ValueError(f"the weight of '{name}' is {weight:g}; expected 0, or {low:g} to {high:,.0f}")
        if weights and not any(weights.values()):
            raise ValueError("all weights are 0, which leaves all events out; expected one above 0")
        return {canonical_id(name): weight for name, weight in weights.items()}

    @field_validator("since")
    @classmethod
    def _is_time(cls, since: str) -> str:
        try:
            _ = since and to_time(since)
        except ValueError:
            raise ValueError(
                "expected an ISO date such as 2024-05-31, or a number such as seconds since 1970"
            ) from None
        return since
