"""Names that say what a thing belongs to: equal for a second try, different for everything else."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

MAX_NAME_LENGTH = 63
JOB_PREFIX = "ncf-train"
"""What the names of our training jobs begin with."""
VARIANT = "AllTraffic"
"""One name for all time: guarded updates compare variants by name."""
TAG_PREFIX = "ncf:"
RUN_TAG, STAGE_TAG = f"{TAG_PREFIX}run", f"{TAG_PREFIX}stage"
ENDPOINT_TAG = f"{TAG_PREFIX}endpoint"
"""Of models and configs: the endpoint that they were made for."""
PREVIOUS_TAG = f"{TAG_PREFIX}previous"
"""Of endpoints: the config that was served before this one."""
DEPLOYED_TAG = f"{TAG_PREFIX}deployed"
"""Of endpoints: the config that deploy has brought up and tested; one that is cut short does not set it."""
LEFT_TAG = f"{TAG_PREFIX}left"
"""Of a job that nobody waits for any more: who left it, and when. Where it is stopped then, another may follow."""
OWN_TAGS = 4
"""How many of them one resource may have."""
_DIGITS = 16


def hashed_name(prefix: str, identity: Mapping[str, Any], room: int = 0) -> str:
    """``<prefix>-<16 hexadecimal digits>``: the digits follow from ``identity`` (JSON-ready) alone.

    Args:
        prefix: readable, cut where the name would get too long.
        room: characters to leave for what is appended.
    """
    content = json.dumps(identity, sort_keys=True).encode()
    digits = hashlib.sha256(content).hexdigest()[:_DIGITS]
    return f"{hashed_stem(prefix, room)}-{digits}"


def hashed_stem(prefix: str, room: int = 0) -> str:
    """What a hashed name begins with."""
    return prefix[: MAX_NAME_LENGTH - room - _DIGITS - 1].rstrip("-")


def endpoint_of(run: str, endpoint_name: str) -> str:
    """The endpoint that a run deploys to: the one that is named, else one of its own."""
    return endpoint_name or hashed_name("ncf", {"run": run})


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as the API takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def run_identity(run_id: str) -> str:
    """``run_id``, or one that nobody else has for a run that has none."""
    return run_id or uuid.uuid4().hex
