"""Names of a stage's parameters in the pipelines, for help."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).with_suffix(".json")


def names_in_pipeline(command: str) -> Mapping[str, str]:
    """Parameters of a command that have another name in the pipeline, and that name.

    ``make pipeline`` writes the file from the compiled pipelines.
    """
    return _all_names().get(command, {})


@lru_cache(maxsize=1)
def _all_names() -> Mapping[str, Mapping[str, str]]:
    names: Mapping[str, Mapping[str, str]] = json.loads(_FILE.read_text())
    return names
