"""A SageMaker endpoint: described, updated, rolled back, deleted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ncf.aws.errors import RefusedError
from ncf.aws.links import with_link
from ncf.aws.names import PREVIOUS_TAG, RUN_TAG, VARIANT, errors_alarm, latency_alarm
from ncf.aws.session import Aws, poll
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.autoscaling import Autoscaling

_log = logging.getLogger(__name__)

CALLS = (
    "cloudwatch:DeleteAlarms",
    "sagemaker:DeleteEndpoint",
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeModel",
    "sagemaker:UpdateEndpoint",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

ALL_AT_ONCE = "ALL_AT_ONCE"
_IMMEDIATE: Mapping[str, Any] = {
    "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": ALL_AT_ONCE, "WaitIntervalInSeconds": 0}}
}
"""DeploymentConfig of a rollback: all traffic in one step, without a baking period."""
SETTLED = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")
"""Statuses in which no update is in progress."""

Description = Mapping[str, Any]
"""SageMaker's answer to DescribeEndpoint."""


@dataclass(frozen=True)
class Rollback:
    """A rollback: the endpoint configs before and after it."""

    before: str
    after: str


class Endpoint:
    """An endpoint, which may not exist.

    Attributes:
        name: of the endpoint.
        autoscaling: of its instances.
    """

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self.name = aws, name
        self.autoscaling = Autoscaling(aws, name, VARIANT)

    @property
    def url(self) -> str:
        """URL of the endpoint in SageMaker's console."""
        return self._aws.console_url(f"endpoints/{self.name}")

    def find(self) -> Description | None:
        """SageMaker's description; None if there is no such endpoint."""
        return self._aws.find("sagemaker", "describe_endpoint", EndpointName=self.name)

    def settled(self, wait_time: float) -> Description | None:
        """The description once no update is in progress; None if the endpoint is gone.

        Args:
            wait_time: seconds to wait; the parameter ``endpoint_wait_time``.

        Raises:
            RemoteError: if the time is over.
        """
        status = ""
        for elapsed in poll(wait_time):
            state = self.find()
            if state is None or state["EndpointStatus"] in SETTLED:
                return state
            if status != (status := state["EndpointStatus"]):
                _log.info("endpoint %s: %s (%.0f s)", self.name, status, elapsed)
        limit = f"{wait_time:.0f} s, the 'endpoint_wait_time'"
        raise RemoteError(with_link(f"endpoint {self.name} is still {status} after {limit}", self.url))

    def update(self, config: str, deployment: Mapping[str, Any]) -> None:
        """Start an update to another config, unless an update is in progress.

        Args:
            config: name of the endpoint config.
            deployment: DeploymentConfig of the update.
        """
        request: dict[str, Any] = {
            "EndpointName": self.name,
            "EndpointConfigName": config,
            # the number of instances is autoscaling's, not the config's
            "RetainAllVariantProperties": self.autoscaling.is_registered(),
            "DeploymentConfig": dict(deployment),
        }
        try:
            self._aws.call("sagemaker", "update_endpoint", **request)
        except RefusedError as error:
            if "in-progress" not in error.message.lower():
                raise  # otherwise another pod has started an update, maybe to the same config
        _log.info("endpoint %s is being updated to %s", self.name, config)

    def return_to(self, config: str, wait_time: float) -> Description | None:
        """Update to an earlier config, all traffic at once, and wait; returns and raises as :meth:`settled`."""
        self.update(config, _IMMEDIATE)
        return self.settled(wait_time)

    def roll_back(self, wait_time: float) -> Rollback:
        """Return to the previous config, and wait until it is in service.

        The previous config is the one before the last update; after a rollback, the next older one.

        Args:
            wait_time: seconds to wait.

        Raises:
            InputError: if there is no such endpoint, or no previous config.
            RemoteError: if the endpoint is not in service, before or after.
        """
        state = self.find()
        if state is None:
            raise InputError(f"there is no endpoint '{self.name}' in {self._aws.region}")
        if state["EndpointStatus"] != "InService":
            raise RemoteError(f"endpoint {self.name} is {state['EndpointStatus']}; a rollback needs one in service")
        live, arn = state["EndpointConfigName"], state["EndpointArn"]
        made = {version.name: version for version in versions.of_endpoint(self._aws, self.name)}
        target = self._previous(arn, live, list(made))
        if self._aws.find("sagemaker", "describe_model", ModelName=target) is None:
            raise InputError(f"endpoint {self.name}: the model of its previous config {target} was deleted")
        _log.info("endpoint %s is being rolled back from %s to %s", self.name, live, target)
        state = self.return_to(target, wait_time)
        status, config = (state["EndpointStatus"], state["EndpointConfigName"]) if state else ("deleted", "none")
        if (status, config) != ("InService", target):
            reason = (state or {}).get("FailureReason", "SageMaker gives no reason")
            raise RemoteError(f"endpoint {self.name} is {status} with config {config}, not {target}: {reason}")
        run = tags_of(self._aws, made[target].arn).get(RUN_TAG, "")
        versions.tag_endpoint(self._aws, arn, run=run, previous=_older(target, list(made)) or target)
        return Rollback(live, target)

    def _previous(self, arn: str, live: str, made: list[str]) -> str:
        """The config to roll back to, of those that exist; ``made`` begins with the newest."""
        tagged = tags_of(self._aws, arn).get(PREVIOUS_TAG)
        target = tagged if tagged in made and tagged != live else _older(live, made)
        if not target:
            raise InputError(
                f"endpoint {self.name} serves {live}, and has no older config to roll back to (deploy's parameter "
                "'keep_versions' sets the number of configs that are kept)"
            )
        return target

    def delete(self) -> None:
        """Delete the endpoint, its autoscaling and its alarms, if they exist."""
        self.autoscaling.remove()
        try:
            self._aws.delete("sagemaker", "delete_endpoint", EndpointName=self.name)
        except RefusedError as error:
            if "in status" not in error.message:
                raise  # otherwise it is being deleted
        for alarm in (errors_alarm(self.name), latency_alarm(self.name)):
            self._aws.delete("cloudwatch", "delete_alarms", AlarmNames=[alarm])


def _older(config: str, made: list[str]) -> str | None:
    """The next older config in a list that begins with the newest."""
    after = made[made.index(config) + 1 :] if config in made else []
    return after[0] if after else None
