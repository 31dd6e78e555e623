"""Names and tags of AWS resources. A name is a hash of its identity: equal in a retry, different otherwise."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

MAX_NAME_LENGTH = 63
JOB_PREFIX = "ncf-train"
"""Default prefix of the names of training jobs."""
VARIANT = "AllTraffic"
"""Name of every endpoint's variant, which blue/green updates require to stay the same."""
CHALLENGER_VARIANT = "Challenger"
"""Name of an endpoint's second variant, during an experiment."""
TAG_PREFIX = "ncf:"
RUN_TAG, STAGE_TAG = f"{TAG_PREFIX}run", f"{TAG_PREFIX}stage"
ENDPOINT_TAG = f"{TAG_PREFIX}endpoint"
"""Tag of models and endpoint configs: the endpoint that they were created for."""
PREVIOUS_TAG = f"{TAG_PREFIX}previous"
"""Tag of endpoints: the config before the last update, which a rollback returns to, and the one before that, with a
blank between. One of them that is in service does not count: the update to its successor was not made, or undone."""
DEPLOYED_TAG = f"{TAG_PREFIX}deployed"
"""Tag of endpoints: the config that deploy has brought into service and tested. It is set at the end of deploy."""
SCALING_TAG = f"{TAG_PREFIX}autoscaling"
"""Tag of endpoints whose autoscaling is deregistered during an update: its limits, to register it again; or ''."""
ABANDONED_TAG = f"{TAG_PREFIX}left"
"""Tag of training jobs whose launcher has ended: by whom it was set, and when. If such a job is stopped, a retry of the
run starts another one."""
NAMESPACE_TAG = f"{TAG_PREFIX}namespace"
"""Tag of all resources that a pod creates: its namespace."""
PACKAGE_TAG = f"{TAG_PREFIX}package"
"""Tag of endpoints, and of their models and configs: ARN of the model package that they were created from."""
MONITOR_SOURCE, BREACH = "ncf.monitor", "NCF Monitor Breach"
"""Source and detail type of the event of a window that breaches a limit of the monitoring."""
EXPERIMENT_TAG, CHALLENGER_TAG = f"{TAG_PREFIX}experiment", f"{TAG_PREFIX}challenger"
"""Tags of the endpoint config of an experiment: the config that was in service before it and the challenger's share,
with a blank between; and ARN of the challenger's model package, which is '' once the experiment is stopped."""
OWN_TAGS = 7
"""Tags of this project that one resource has at most."""
_DIGITS = 16


def hashed_name(prefix: str, identity: Mapping[str, Any], reserved: int = 0) -> str:
    """``<prefix>-<16 hexadecimal digits>``.

    Args:
        prefix: shortened if the name would be too long.
        identity: JSON-serialisable; it alone determines the digits.
        reserved: number of characters to reserve for a suffix.
    """
    content = json.dumps(identity, sort_keys=True).encode()
    digits = hashlib.sha256(content).hexdigest()[:_DIGITS]
    return f"{hashed_stem(prefix, reserved)}-{digits}"


def hashed_stem(prefix: str, reserved: int = 0) -> str:
    """The part of a hashed name before the digits and their hyphen."""
    return prefix[: MAX_NAME_LENGTH - reserved - _DIGITS - 1].rstrip("-")


def experiment_stem(endpoint: str) -> str:
    """As :func:`hashed_stem`, of the configs and models of an endpoint's experiments."""
    return hashed_stem(f"{endpoint}-ab")


def has_prefix(name: str, prefix: str) -> bool:
    """Whether a name is one that :func:`hashed_name` gives for a prefix, with or without a suffix."""
    return re.fullmatch(rf"{re.escape(prefix)}-[0-9a-f]{{{_DIGITS}}}(-\d+)?", name) is not None


def name_of_first(name: str) -> str:
    """Name of the job of a run's first attempt, which the jobs of further attempts share folders with."""
    return re.sub(rf"(-[0-9a-f]{{{_DIGITS}}})-\d+$", r"\1", name)


def endpoint_of(run: str, endpoint_name: str) -> str:
    """The endpoint that a run deploys to: ``endpoint_name``, or a name of the run's own if that is ''."""
    return endpoint_name or hashed_name("ncf", {"run": run})


def errors_alarm(endpoint: str) -> str:
    """Name of an endpoint's alarm for 5xx answers."""
    return f"{endpoint}-errors"


def latency_alarm(endpoint: str) -> str:
    """Name of an endpoint's alarm for its latency."""
    return f"{endpoint}-latency"


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the form of the API."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def run_identity(run_id: str) -> str:
    """``run_id``, or a unique ID for a run without one."""
    return run_id or uuid.uuid4().hex
