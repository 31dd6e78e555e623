"""Names that say what a thing belongs to: equal for a second try, different for everything else."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

MAX_NAME_LENGTH = 63
_DIGITS = 16


def hashed_name(prefix: str, identity: Mapping[str, Any], room: int = 0) -> str:
    """``<prefix>-<16 hexadecimal digits>``: the digits follow from ``identity`` (JSON-ready) alone.

    Args:
        prefix: readable, cut where the name would get too long.
        room: characters to leave for what is appended.
    """
    content = json.dumps(identity, sort_keys=True).encode()
    digits = hashlib.sha256(content).hexdigest()[:_DIGITS]
    return f"{prefix[: MAX_NAME_LENGTH - room - _DIGITS - 1].rstrip('-')}-{digits}"


def run_identity(run_id: str) -> str:
    """``run_id``, or one that nobody else has for a run that has none."""
    return run_id or uuid.uuid4().hex
