"""The versions of an endpoint, each a SageMaker model and an endpoint config of one name: which there are, which go."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

from ncf.aws.names import DEPLOYED_TAG, ENDPOINT_TAG, PREVIOUS_TAG, RUN_TAG, hashed_stem, tag_list
from ncf.aws.session import Aws, RefusedError
from ncf.aws.tags import tags_of
from ncf.errors import RemoteError

_log = logging.getLogger(__name__)

CALLS = (
    "sagemaker:AddTags",
    "sagemaker:DeleteEndpointConfig",
    "sagemaker:DeleteModel",
    "sagemaker:ListEndpointConfigs",
)
"""What this module calls: permissions are made from it."""


_DELETIONS = (("delete_endpoint_config", "EndpointConfigName"), ("delete_model", "ModelName"))


@dataclass(frozen=True)
class Version:
    """One version: ``name`` of model and config, ``arn`` of the config."""

    name: str
    arn: str


def of_endpoint(aws: Aws, endpoint: str) -> list[Version]:
    """The versions that were made for an endpoint, the newest first."""
    stem = hashed_stem(endpoint)
    pattern = re.compile(re.escape(stem) + "-[0-9a-f]{16}")
    request: dict[str, Any] = {"NameContains": stem, "SortBy": "CreationTime", "SortOrder": "Descending"}
    found = []
    while True:
        answer = aws.call("sagemaker", "list_endpoint_configs", **request, MaxResults=100)
        for entry in answer["EndpointConfigs"]:
            version = Version(entry["EndpointConfigName"], entry["EndpointConfigArn"])
            # names are cut where they get too long, so that another endpoint's may look alike
            if pattern.fullmatch(version.name) and tags_of(aws, version.arn).get(ENDPOINT_TAG) == endpoint:
                found.append(version)
        if not answer.get("NextToken"):
            return found
        request["NextToken"] = answer["NextToken"]


def delete(aws: Aws, name: str) -> None:
    """Delete a version's config and model, where they are there."""
    for operation, request in _DELETIONS:
        try:
            aws.call("sagemaker", operation, None, **{request: name})
        except RefusedError as error:
            if not error.says_missing:
                raise


def prune(aws: Aws, endpoint: str, arn: str, live: str, keep: int) -> None:
    """Delete all but ``keep`` versions of an endpoint: the live one stays, the one before it, and the newest others.

    What cannot be deleted is only warned of: the endpoint serves.
    """
    try:
        previous = tags_of(aws, arn).get(PREVIOUS_TAG)
        others = [version for version in of_endpoint(aws, endpoint) if version.name != live]
        others.sort(key=lambda version: version.name != previous)
        for version in others[keep - 1 :]:
            delete(aws, version.name)
            _log.info("endpoint %s: version %s is deleted; the last %d are kept", endpoint, version.name, keep)
    except RemoteError as error:
        _log.warning("endpoint %s: old versions are not deleted: %s", endpoint, error)


def remember(aws: Aws, endpoint_arn: str, run: str = "", previous: str = "", deployed: str = "") -> None:
    """Note on an endpoint what is given.

    Args:
        aws: clients to call.
        endpoint_arn: of the endpoint.
        run: whose model it serves.
        previous: config to which ``ncf rollback`` is to return.
        deployed: config that is in service and tested.
    """
    tags = ((RUN_TAG, run), (PREVIOUS_TAG, previous), (DEPLOYED_TAG, deployed))
    noted = {tag: value for tag, value in tags if value}
    aws.call("sagemaker", "add_tags", ResourceArn=endpoint_arn, Tags=tag_list(noted))
