"""A column that is not read and looks like the type of an event."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ncf.data.columns import SHOWN_CHARACTERS, plain_name
from ncf.data.events import EVENT_NAMES

_MAX_VALUES = 20
_MAX_SHOWN = 5
_FLAGS = frozenset(("true", "false", "yes", "no", "y", "n", "t", "f"))
"""Values of flags: a column 'action' with these is a genre."""
_NAMES_OF_NUMBERS = tuple(name for name in EVENT_NAMES if name.endswith("type") or name.startswith("behavi"))
"""Names of columns that hold event types as numbers too."""
_WORD = re.compile(
    r"(?:page|item|product|video|content)?"
    r"(?:view|click|detail|pv|impression|exposure|tap|open|(?:add|remove)?(?:to|from)?(?:cart|basket|wishlist|favou?rites?)"
    r"|atc|fav|favou?rite|like|dislike|buy|bought|purchase|order|checkout|transaction|conversion|play|stream|listen|skip"
    r"|watch|read|share|save|bookmark|follow|comment|subscribe|download|install|rent|rate|review)"
    r"(?:s|d|ed|ped)?(?:page|item|product|video|content)?"
)
"""Pattern of an event type, of its letters alone."""


def event_column_hint(unused: Mapping[str, Sequence[str]]) -> str:
    """Remark on a column that looks like the type of an event; '' if none does.

    Args:
        unused: name or number of each column that is not read, and its first values.
    """
    found = {name: values for name, column in unused.items() if (values := _event_types(name, column))}
    if not found:
        return ""
    name = next((name for name in found if plain_name(name) in EVENT_NAMES), next(iter(found)))
    shown = ", ".join(value[:SHOWN_CHARACTERS] for value in found[name][:_MAX_SHOWN])
    more = ", ..." if len(found[name]) > _MAX_SHOWN else ""
    return (
        f"Column '{name}' ({shown}{more}) looks like the type of an event and is not read, so all events count alike. "
        f"Name it with event_column and weigh the types with event_weights, or set event_column to 'none'."
    )


def _event_types(name: str, column: Sequence[str]) -> list[str]:
    """Values of a column that looks like the type of an event; empty if it does not."""
    values = list(dict.fromkeys(value.strip() for value in column if value.strip()))
    if not 0 < len(values) <= _MAX_VALUES:
        return []
    known = sum(_WORD.fullmatch(re.sub(r"[^a-z]", "", value.lower())) is not None for value in values)
    if 2 * known > len(values):
        return values
    if {value.lower() for value in values} <= _FLAGS:
        return []
    is_text = not any(re.fullmatch(r"[-+]?[0-9.]+", value) for value in values)
    return values if plain_name(name) in (EVENT_NAMES if is_text else _NAMES_OF_NUMBERS) else []
