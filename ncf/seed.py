"""The random seed: the default and the bounds are the same in all stages and in the pipeline."""

from __future__ import annotations

from typing import Any

from pydantic import Field

DEFAULT_SEED = 1
MAX_SEED = 2**31 - 1


def seed_field(description: str) -> Any:
    """The field of a seed, of type ``int``.

    Args:
        description: description of the field.
    """
    return Field(DEFAULT_SEED, ge=0, le=MAX_SEED, description=description)
