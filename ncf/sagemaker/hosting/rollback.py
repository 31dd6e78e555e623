"""Rollback of an endpoint to its previous version."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ncf.aws.names import PREVIOUS_TAG, RUN_TAG, VARIANT
from ncf.aws.session import Aws, RefusedError, poll
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.autoscaling import Autoscaling
from ncf.sagemaker.hosting.way_back import at_once

_log = logging.getLogger(__name__)

CALLS = ("sagemaker:DescribeEndpoint", "sagemaker:DescribeModel", "sagemaker:UpdateEndpoint")
"""What this module calls: permissions are made from it."""


@dataclass(frozen=True)
class Rollback:
    """A rollback: the endpoint configs before and after it."""

    before: str
    now: str


def roll_back(aws: Aws, endpoint: str, seconds: float) -> Rollback:
    """Have an endpoint serve its previous config again, and wait until it does.

    The previous config is the one that was served before the last update; after a rollback, the next older one.

    Args:
        aws: clients to call.
        endpoint: its name.
        seconds: to wait at most.

    Raises:
        InputError: if there is no such endpoint, or nothing to go back to.
        RemoteError: if it does not come to serve it.
    """
    state = _describe(aws, endpoint)
    if state["EndpointStatus"] != "InService":
        raise RemoteError(f"endpoint {endpoint} is {state['EndpointStatus']}; only one in service can be rolled back")
    live, arn = state["EndpointConfigName"], state["EndpointArn"]
    made = versions.of_endpoint(aws, endpoint)
    target = _previous(aws, endpoint, arn, live, [version.name for version in made])
    try:
        aws.call("sagemaker", "describe_model", ModelName=target)
    except RefusedError as error:
        if error.says_missing:
            raise InputError(f"endpoint {endpoint}: the model of its previous config {target} is gone") from None
        raise
    aws.call(
        "sagemaker",
        "update_endpoint",
        EndpointName=endpoint,
        EndpointConfigName=target,
        RetainAllVariantProperties=Autoscaling(aws, endpoint, VARIANT).is_registered(),
        DeploymentConfig=at_once(),
    )
    _log.info("endpoint %s is going back from %s to %s", endpoint, live, target)
    _wait(aws, endpoint, target, seconds)
    chosen = next(version for version in made if version.name == target)
    older = _older(target, [version.name for version in made]) or target
    run = tags_of(aws, chosen.arn).get(RUN_TAG, "")
    versions.remember(aws, arn, run=run, previous=older)
    return Rollback(live, target)


def _previous(aws: Aws, endpoint: str, arn: str, live: str, made: list[str]) -> str:
    noted = tags_of(aws, arn).get(PREVIOUS_TAG)
    target = noted if noted in made and noted != live else _older(live, made)
    if not target:
        raise InputError(
            f"endpoint {endpoint} serves {live}, and there is no older config of it to go back to "
            "('keep_versions' of deploy says how many are kept)"
        )
    return target


def _older(config: str, made: list[str]) -> str | None:
    """The next older one in a list that begins with the newest."""
    after = made[made.index(config) + 1 :] if config in made else []
    return after[0] if after else None


def _wait(aws: Aws, endpoint: str, target: str, limit: float) -> None:
    for _ in poll(limit):
        state = _describe(aws, endpoint)
        if state["EndpointStatus"] not in ("Updating", "RollingBack"):
            if (state["EndpointStatus"], state["EndpointConfigName"]) == ("InService", target):
                return
            reason = state.get("FailureReason", "SageMaker gives no reason")
            raise RemoteError(f"endpoint {endpoint} is {state['EndpointStatus']}, not back at {target}: {reason}")
    raise RemoteError(f"endpoint {endpoint} is not back at {target} after {limit:.0f} s")


def _describe(aws: Aws, endpoint: str) -> dict[str, Any]:
    try:
        return aws.call("sagemaker", "describe_endpoint", EndpointName=endpoint)
    except RefusedError as error:
        if error.says_missing:
            raise InputError(f"there is no endpoint '{endpoint}' in {aws.region}") from None
        raise
