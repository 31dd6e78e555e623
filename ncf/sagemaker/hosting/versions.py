"""Versions of an endpoint: a SageMaker model and an endpoint config with a common name."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncf.aws.names import (
    DEPLOYED_TAG,
    ENDPOINT_TAG,
    EXPERIMENT_TAG,
    NAMESPACE_TAG,
    PREVIOUS_TAG,
    RUN_TAG,
    SCALING_TAG,
    hashed_stem,
    tag_list,
)
from ncf.aws.session import Aws
from ncf.aws.tags import readable_tags, tags_of
from ncf.errors import RemoteError

_log = logging.getLogger(__name__)

CALLS = (
    "sagemaker:AddTags",
    "sagemaker:DeleteEndpointConfig",
    "sagemaker:DeleteModel",
    "sagemaker:ListEndpointConfigs",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

NOTED_CONFIGS = 2
_DELETIONS = (("delete_endpoint_config", "EndpointConfigName"), ("delete_model", "ModelName"))


@dataclass(frozen=True)
class Version:
    """A version: the name of its model and config, and the ARN of its config."""

    name: str
    arn: str


def of_endpoint(aws: Aws, endpoint: str, namespace: str) -> list[Version]:
    """The versions of an endpoint, the newest first.

    Args:
        aws: clients to call.
        endpoint: its name.
        namespace: of the endpoint, by its tag; '' for none. Anybody can write the tag of an endpoint: a config of
            another namespace is none of its versions.
    """
    stem = hashed_stem(endpoint)
    pattern = re.compile(re.escape(stem) + "-[0-9a-f]{16}")
    filters: dict[str, Any] = {"NameContains": stem, "SortBy": "CreationTime", "SortOrder": "Descending"}
    found = []
    for page in aws.pages("sagemaker", "list_endpoint_configs", **filters, MaxResults=100):
        for entry in page["EndpointConfigs"]:
            version = Version(entry["EndpointConfigName"], entry["EndpointConfigArn"])
            if not pattern.fullmatch(version.name):
                continue
            tags = readable_tags(aws, version.arn)
            is_foreign = bool(namespace) and tags.get(NAMESPACE_TAG, namespace) != namespace
            # names are shortened, so that the config of another endpoint or of an experiment may match
            if tags.get(ENDPOINT_TAG) == endpoint and EXPERIMENT_TAG not in tags and not is_foreign:
                found.append(version)
    return found


def delete(aws: Aws, name: str) -> None:
    """Delete a version's config and model, if they exist."""
    for operation, parameter in _DELETIONS:
        aws.delete("sagemaker", operation, **{parameter: name})


def previous_of(tags: Mapping[str, str], live: str) -> list[str]:
    """The configs that an endpoint served before, by its tags: those that a rollback returns to, the first one first.

    Args:
        tags: of the endpoint.
        live: config in service.
    """
    return [config for config in tags.get(PREVIOUS_TAG, "").split() if config != live]


def previous_tag(live: str, older: Sequence[str]) -> str:
    """Value of the tag of previous configs.

    Args:
        live: config before an update, or that a rollback returns to.
        older: configs before that one, as of :func:`previous_of`.
    """
    return " ".join([live, *older[: NOTED_CONFIGS - 1]])


def prune(aws: Aws, endpoint: str, arn: str, live: str, keep: int) -> None:
    """Delete old versions of an endpoint. An error is logged and ignored, as the endpoint is in service.

    Args:
        aws: clients to call.
        endpoint: its name.
        arn: of the endpoint.
        live: name of the version in service.
        keep: number of versions to keep: the live one, the previous one, and the newest others.
    """
    try:
        tags = tags_of(aws, arn)
        previous = previous_of(tags, live)[:1]
        made = of_endpoint(aws, endpoint, tags.get(NAMESPACE_TAG, ""))
        others = [version for version in made if version.name != live]
        others.sort(key=lambda version: version.name not in previous)
        for version in others[keep - 1 :]:
            delete(aws, version.name)
            _log.info("endpoint %s: version %s is deleted; the last %d are kept", endpoint, version.name, keep)
    except RemoteError as error:
        _log.warning("endpoint %s: old versions are not deleted: %s", endpoint, error)


def tag_endpoint(
    aws: Aws, arn: str, run: str = "", previous: str = "", deployed: str = "", scaling: str | None = None
) -> None:
    """Set the tags that are given.

    Args:
        aws: clients to call.
        arn: of the endpoint.
        run: whose model it serves.
        previous: value of the tag of previous configs; see :func:`previous_tag`.
        deployed: config that is in service and tested.
        scaling: autoscaling that is deregistered during an update; '' to clear it.
    """
    tags = {tag: value for tag, value in ((RUN_TAG, run), (PREVIOUS_TAG, previous), (DEPLOYED_TAG, deployed)) if value}
    tags |= {} if scaling is None else {SCALING_TAG: scaling}
    aws.call("sagemaker", "add_tags", ResourceArn=arn, Tags=tag_list(tags))
