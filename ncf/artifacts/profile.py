"""The profile of raw interactions: figures by which later data are checked before they are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ncf.artifacts import manifest

KEY = "profile"
"""Of the profile in what a manifest says about the raw data."""
MAX_DAYS = 28
"""Days in ``daily``: four weeks."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
Time = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Profile(BaseModel):
    """Figures of the rows that were read, before any filter.

    Attributes:
        rows: number of rows, unreadable ones included, without those of forgotten users.
        users, items: number of distinct ids.
        unreadable: number of unreadable rows.
        columns: role -> name or number of its column; empty for the NCF release format.
        newest: microseconds since 1970 UTC of the newest interaction, or None without times.
        read: microseconds since 1970 UTC of the reading in a run of the pipeline; None outside of one, where the same
            data have the same manifest.
        daily: rows of each of the last periods of 24 hours, the newest first: period k ends k days before ``newest``.
            Periods that begin before the oldest interaction are left out, except the newest one. Empty without times.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    rows: Count
    users: Count
    items: Count
    unreadable: Count = 0
    columns: dict[str, str] = Field(default={}, max_length=20)
    newest: Time | None = None
    read: Time | None = None
    daily: list[Count] = Field(default=[], max_length=MAX_DAYS)

    @property
    def unreadable_share(self) -> float:
        """Share of unreadable rows, 0 to 1."""
        return self.unreadable / max(1, self.rows)


def profile_in(folder: Path) -> Profile | None:
    """The profile in the manifest of a data set or of a model, which may come from outside. No other file is read.

    Returns:
        None if it has none, as it was written by an earlier version, or a malformed one.

    Raises:
        InputError: if the folder has no such manifest.
    """
    source: Mapping[str, Any] = manifest.read_unchecked(folder, "dataset", "model")["source"]
    raw = source.get("dataset", source)
    try:
        return Profile.model_validate(raw.get(KEY)) if isinstance(raw, dict) else None
    except ValidationError:
        return None
