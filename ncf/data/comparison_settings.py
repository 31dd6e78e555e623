"""Parameters of the comparison with the last good data, as several stages have them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import Field, field_validator

from ncf.parameters import Parameters

CHAMPION, NONE = "champion", "none"
"""Values of ``last_good`` that name no location."""
LIMITS: Mapping[str, float] = {
    "rows": 0.3,
    "rows_a_day": 0.3,
    "users": 0.3,
    "items": 0.3,
    "unreadable": 0.01,
    "columns": 0,
    "older_days": 0,
    "lag_days": 0.4,
}
"""Default limits: see the parameter ``limits``."""
AGE = "age_days"
"""Limit without a default, as data may be of any age."""


class ComparisonSettings(Parameters):
    """The data to compare with, and the limits."""

    last_good: str = Field(
        CHAMPION,
        description=f"Data that the interactions are compared with before anything is trained on them: '{CHAMPION}' "
        "(those of the champion's model, if there is a champion), the path or S3 URI of a folder written by preprocess "
        f"or train, or '{NONE}'",
    )
    limits: dict[str, float] = Field(
        {},
        description="Limits of the comparison that differ from the defaults "
        f"{', '.join(f'{name}={limit:g}' for name, limit in LIMITS.items())}. 'rows', 'users' and 'items': largest "
        "share by which there may be fewer; 'rows_a_day': the same for each new day, beside the lowest of the same "
        "weekday in the last four weeks; 'unreadable': largest increase of the share of unreadable rows; 'columns': "
        "number of columns that may be missing; 'older_days': days by which the newest interaction may be older; "
        "'lag_days': days by which it may lie further back from the time of its run, if there are newer ones than the "
        f"last good ones; '{AGE}': days by which it may lie back, not checked by default",
    )

    @field_validator("last_good")
    @classmethod
    def _is_given(cls, value: str) -> str:
        if not value:
            raise ValueError(f"expected '{CHAMPION}', '{NONE}', or the path or S3 URI of a folder")
        return value

    @field_validator("limits")
    @classmethod
    def _are_limits(cls, limits: dict[str, float]) -> dict[str, float]:
        for name, limit in limits.items():
            if name not in LIMITS and name != AGE:
                raise ValueError(f"there is no limit '{name}'; expected {', '.join(LIMITS)} or {AGE}")
            if not 0 <= limit < math.inf:
                raise ValueError(f"the limit '{name}' is {limit:g}; expected 0 or more, and finite")
        return limits
