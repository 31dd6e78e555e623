"""The seed of random numbers: one default and one bound in each stage and in the pipeline."""

from __future__ import annotations

from typing import Any

from pydantic import Field

DEFAULT_SEED = 1
MAX_SEED = 2**31 - 1


def seed_field(description: str) -> Any:
    """A field of type ``int``."""
    return Field(DEFAULT_SEED, ge=0, le=MAX_SEED, description=description)
