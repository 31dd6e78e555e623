"""Parameters of reading: columns of interactions, filters and unreadable rows, as several stages have them."""

from __future__ import annotations

from pydantic import Field

from ncf.data.filtering import Duplicates
from ncf.data.layout import Separator
from ncf.data.preparation import Settings
from ncf.parameters import Parameters

_DEFAULTS = Settings()


class ReadingSettings(Parameters):
    """Which columns are read, and which interactions are kept."""

    min_rating: float = Field(
        _DEFAULTS.min_rating,
        allow_inf_nan=False,
        description="Minimum rating of a positive interaction",
    )
    min_user_interactions: int = Field(
        _DEFAULTS.min_user_interactions,
        ge=1,
        le=1_000_000,
        description="Minimum number of interactions of a user; users with fewer are dropped",
    )
    min_item_interactions: int = Field(
        _DEFAULTS.min_item_interactions,
        ge=1,
        le=1_000_000,
        description="Minimum number of interactions of an item; items with fewer are dropped",
    )
    user_column: str = Field(
        _DEFAULTS.user_column,
        description="Column of users: its name, or its number from 1; '': detected (userId, user, ...)",
    )
    item_column: str = Field(
        _DEFAULTS.item_column,
        description="Column of items: name or number; '': detected (movieId, item_id, item, ...)",
    )
    rating_column: str = Field(
        _DEFAULTS.rating_column,
        description="Column of ratings: name or number; '': detected; 'none': without ratings",
    )
    timestamp_column: str = Field(
        _DEFAULTS.timestamp_column,
        description="Column of timestamps (seconds or milliseconds since 1970, or ISO dates): name or number; '': "
        "detected; 'none': without timestamps, so that held-out items are drawn by seed",
    )
    duplicates: Duplicates = Field(
        _DEFAULTS.duplicates,
        description="Interaction that is kept of several between a user and an item: 'latest' or 'first'",
    )
    separator: Separator = Field(
        "auto",
        description="Separator of columns in text: 'auto', 'comma', 'tab', 'double_colon', 'semicolon', 'pipe' or "
        "'space'",
    )
    max_unreadable: float = Field(
        _DEFAULTS.max_unreadable,
        ge=0,
        le=1,
        description="Maximum share of rows without an id or event type, or with an unreadable rating or timestamp. "
        "These rows are dropped and reported; a larger share is an error. With the default, one such row in fewer than "
        "10,000 rows is an error",
    )
