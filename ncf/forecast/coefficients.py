"""Coefficients of the forecast, which ``make bench-forecast`` measures, and the sizes that they were measured at."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

FILE = Path(__file__).with_name("coefficients.json")
Kind = Literal["preprocess", "negative_sampling", "fit_history", "fit_pairwise", "evaluate"]


class Cost(BaseModel):
    """Coefficients of a stage, 0 or more, by the names of its amounts.

    Attributes:
        seconds: of one core, for a unit of each amount.
        bytes: of peak memory, for a unit of each amount.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: dict[str, float]
    bytes: dict[str, float]


class Coefficients(BaseModel):
    """All coefficients.

    Attributes:
        machine: that they were measured on.
        measured: count of the data -> least and largest that was measured.
        models: that were measured.
        costs: by kind of stage.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine: str
    measured: dict[str, tuple[int, int]]
    models: list[str]
    costs: dict[Kind, Cost]


@cache
def coefficients() -> Coefficients:
    """The coefficients of this version of ncf."""
    return Coefficients.model_validate_json(FILE.read_text())
