"""A SageMaker endpoint: described, updated, rolled back, deleted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncf.aws import session
from ncf.aws.errors import RefusedError
from ncf.aws.links import with_link
from ncf.aws.names import NAMESPACE_TAG, RUN_TAG, VARIANT, errors_alarm, latency_alarm
from ncf.aws.session import Aws, poll
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting import packages, versions
from ncf.sagemaker.hosting.autoscaling import Autoscaling, Variant
from ncf.sagemaker.registry.package import Package

_log = logging.getLogger(__name__)

CALLS = (
    "cloudwatch:DeleteAlarms",
    "sagemaker:DeleteEndpoint",
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:UpdateEndpoint",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

ALL_AT_ONCE = "ALL_AT_ONCE"
_IMMEDIATE: Mapping[str, Any] = {
    "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": ALL_AT_ONCE, "WaitIntervalInSeconds": 0}}
}
"""DeploymentConfig of a rollback: all traffic in one step, without a baking period."""
_SERVERLESS = "ServerlessConfig"
MAX_STARTS = 3
"""Number of times that an update is tried while other changes are in progress."""
_IN_PROGRESS = "in-progress"  # of the message 'Cannot update in-progress endpoint', also of DeleteEndpoint
SETTLED = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")
"""Statuses in which no update is in progress."""

Description = Mapping[str, Any]
"""SageMaker's answer to DescribeEndpoint."""


class InProgressError(RemoteError):
    """The wait time is over, and the update or creation continues."""


@dataclass(frozen=True)
class Rollback:
    """A rollback.

    Attributes:
        before: endpoint config before it.
        after: endpoint config after it.
        package: model package of that config; None if it has none.
        skipped: reasons why later configs were skipped: their packages may no longer be served.
    """

    before: str
    after: str
    package: Package | None = None
    skipped: Sequence[str] = ()


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

    def settled(
        self,
        wait_time: float,
        former: Sequence[Description | None] = (),
        watch: Callable[[], None] = lambda: None,
    ) -> Description | None:
        """The description once no update is in progress; None if the endpoint is gone.

        Args:
            wait_time: seconds to wait; the parameter ``endpoint_wait_time``.
            former: descriptions before a change that was just made; None for no endpoint. AWS is eventually
                consistent: they are believed only after 30 s.
            watch: called each time that an update is still in progress; what it raises ends the waiting.

        Raises:
            InProgressError: if the time is over.
        """
        status, stale = "", [_identity(state) for state in former]
        for elapsed in poll(wait_time):
            state = self.find()
            if _identity(state) in stale and elapsed < session.CONSISTENCY_SECONDS:
                continue
            if state is None or state["EndpointStatus"] in SETTLED:
                return state
            if status != (status := state["EndpointStatus"]):
                _log.info("endpoint %s: %s (%.0f s)", self.name, status, elapsed)
            watch()
        limit = f"{wait_time:.0f} s, the 'endpoint_wait_time'"
        raise InProgressError(with_link(f"endpoint {self.name} is still {status} after {limit}", self.url))

    def update(self, state: Description, config: str, deployment: Mapping[str, Any], keeps_count: bool = True) -> bool:
        """Start an update to another config.

        AWS refuses another instance type for a scalable target. The autoscaling is then suspended until
        :meth:`resume_autoscaling`.

        Args:
            state: present description.
            config: name of the endpoint config.
            deployment: DeploymentConfig of the update; not used where there are no guardrails: for serverless
                endpoints, and for an update that adds or removes the variant of an experiment.
            keeps_count: whether to keep the number of instances that autoscaling has set.

        Returns:
            Whether it was started: False if another update is in progress.

        Raises:
            InputError: if SageMaker does not offer the update.
            RefusedError: if SageMaker refuses it.
        """
        of_before, of_after = self._variants(state["EndpointConfigName"]), self._variants(config, is_new=True)
        before, after = next(iter(of_before), {}), next(iter(of_after), {})
        if _SERVERLESS in after and "InstanceType" in before:
            raise InputError(
                f"endpoint {self.name} has instances: SageMaker does not update it to a serverless one; deploy to "
                "another 'endpoint_name', or set 'serverless_memory' to 0"
            )
        if _SERVERLESS in before and "InstanceType" in after:
            _log.warning("endpoint %s gets instances: SageMaker does not return it to a serverless one", self.name)
        scaling = self.autoscaling.find()
        if scaling and before.get("InstanceType") != after.get("InstanceType"):
            self.autoscaling.suspend(state["EndpointArn"], scaling)
        request: dict[str, Any] = {"EndpointName": self.name, "EndpointConfigName": config}
        # guardrails need the same variants, which an experiment changes
        keeps_variants = len(of_before) == len(of_after) or not of_before
        if keeps_variants and _SERVERLESS not in before and _SERVERLESS not in after:
            request["DeploymentConfig"] = dict(deployment)
        if keeps_count and "InstanceType" in after and (scaling or self.autoscaling.suspended(state["EndpointArn"])):
            request["RetainAllVariantProperties"] = True  # otherwise the number is the config's
            request["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DataCaptureConfig"}]
        try:
            self._aws.call_with_new("sagemaker", "update_endpoint", **request)
        except RefusedError as error:
            if _IN_PROGRESS in error.message.lower():
                return False
            raise
        _log.info("endpoint %s is being updated to %s", self.name, config)
        return True

    def _variants(self, config: str, is_new: bool = False) -> Sequence[Variant]:
        """The variants of an endpoint config, two in an experiment; empty if the config was deleted."""
        call = self._aws.call_with_new if is_new else self._aws.call
        try:
            found = call("sagemaker", "describe_endpoint_config", EndpointConfigName=config)
        except RefusedError as error:
            if error.says_missing:
                return []
            raise
        variants: Sequence[Variant] = found["ProductionVariants"]
        return variants

    def resume_autoscaling(self, state: Description) -> None:
        """Register the autoscaling again that an update has deregistered, if it has."""
        if self.autoscaling.suspended(state["EndpointArn"]):
            first = next(iter(self._variants(state["EndpointConfigName"])), {})
            self.autoscaling.resume(state["EndpointArn"], first)

    def return_to(self, state: Description, config: str, wait_time: float) -> Description | None:
        """Update to an earlier config, all traffic at once, and wait; returns and raises as :meth:`settled`.

        Autoscaling stays as it was before, also if the update fails.
        """
        try:
            before = self._start_return(state, config, wait_time)
        except (InputError, RemoteError):
            self.resume_autoscaling(state)
            raise
        after = self.settled(wait_time, former=(before,))
        if after and after["EndpointStatus"] == "InService":
            self.resume_autoscaling(after)
        return after

    def _start_return(self, state: Description, config: str, wait_time: float) -> Description:
        """Start the update to an earlier config, and return the description before it.

        Changes in progress are waited for: autoscaling may change the number of instances at any time.
        """
        for _ in range(MAX_STARTS):
            if self.update(state, config, _IMMEDIATE):
                return state
            settled = self.settled(wait_time)
            if (
                settled is None
                or settled["EndpointStatus"] != "InService"
                or settled["EndpointConfigName"] != state["EndpointConfigName"]
            ):
                break
            state = settled
        raise RemoteError(f"endpoint {self.name} is not updated to {config}, as others change it")

    def roll_back(self, wait_time: float) -> Rollback:
        """Return to the previous config, and wait until it is in service.

        The previous config is the one before the last update; after a rollback, the next older one. Configs whose
        model packages are not approved any more are skipped. An update in progress is waited for first.

        Args:
            wait_time: seconds to wait, for each update.

        Raises:
            InputError: if there is no such endpoint, or no previous config.
            RemoteError: if the endpoint is not in service, before or after.
        """
        state = self.settled(wait_time)
        if state is None:
            raise InputError(f"there is no endpoint '{self.name}' in {self._aws.region}")
        if state["EndpointStatus"] != "InService":
            raise RemoteError(f"endpoint {self.name} is {state['EndpointStatus']}; a rollback needs one in service")
        self.resume_autoscaling(state)  # of an update whose process was killed
        live, arn = state["EndpointConfigName"], state["EndpointArn"]
        tags = tags_of(self._aws, arn)
        found = versions.of_endpoint(self._aws, self.name, tags.get(NAMESPACE_TAG, ""))
        made = {version.name: version for version in found}
        target, *older = self._previous(tags, live, list(made))
        package, obstacle = packages.of_config(self._aws, target)
        skipped: list[str] = []
        while obstacle:
            skipped.append(obstacle)
            if not older:
                raise InputError(
                    f"endpoint {self.name} serves {live}, and no older config may be served: {'; '.join(skipped)}"
                )
            target, *older = older
            package, obstacle = packages.of_config(self._aws, target)
        if self._aws.find("sagemaker", "describe_model", ModelName=target) is None:
            raise InputError(f"endpoint {self.name}: the model of its previous config {target} was deleted")
        _log.info("endpoint %s is being rolled back from %s to %s", self.name, live, target)
        after = self.return_to(state, target, wait_time)
        status, config = (after["EndpointStatus"], after["EndpointConfigName"]) if after else ("deleted", "none")
        if (status, config) != ("InService", target):
            reason = (after or {}).get("FailureReason", "SageMaker gives no reason")
            raise RemoteError(f"endpoint {self.name} is {status} with config {config}, not {target}: {reason}")
        run = tags_of(self._aws, made[target].arn).get(RUN_TAG, "")
        versions.tag_endpoint(self._aws, arn, run=run, previous=" ".join(older[: versions.NOTED_CONFIGS] or [target]))
        packages.record(self._aws, self.name)
        return Rollback(live, target, package, skipped)

    def _previous(self, tags: Mapping[str, str], live: str, made: list[str]) -> list[str]:
        """The configs to roll back to, of those that exist, the first one first; ``made`` begins with the newest."""
        tagged = [config for config in versions.previous_of(tags, live) if config in made]
        found = [*tagged, *(config for config in _older((tagged or [live])[-1], made) if config != live)]
        if not found:
            raise InputError(
                f"endpoint {self.name} serves {live}, and has no older config to roll back to (deploy's parameter "
                "'keep_versions' sets the number of configs that are kept)"
            )
        return found

    def delete(self, wait_time: float, is_own: Callable[[Description], bool]) -> None:
        """Delete the endpoint, its autoscaling and its alarms, if they exist.

        Args:
            wait_time: seconds to wait for an update or creation in progress, during which AWS refuses the deletion.
            is_own: whether to delete the endpoint as it is after that time: another run may have updated it.

        Raises:
            InProgressError: if the time is over.
            RemoteError: if the endpoint is no longer the caller's.
        """
        for _ in poll(wait_time):
            state = self.settled(wait_time)
            if state and not is_own(state):
                raise RemoteError(f"endpoint {self.name} is not deleted, as another run has updated it")
            self.autoscaling.remove()
            try:
                self._aws.delete("sagemaker", "delete_endpoint", EndpointName=self.name)
                break
            except RefusedError as error:
                if _IN_PROGRESS not in error.message.lower():
                    raise  # otherwise another update or a deletion has begun
        for alarm in (errors_alarm(self.name), latency_alarm(self.name)):
            self._aws.delete("cloudwatch", "delete_alarms", AlarmNames=[alarm])


def pending_config(state: Description) -> str:
    """The config of the update or creation in progress; '' if there is none.

    During an update, the description's ``EndpointConfigName`` is still the one in service.
    """
    return str(state.get("PendingDeploymentSummary", {}).get("EndpointConfigName", ""))


def _identity(state: Description | None) -> tuple[Any, ...] | None:
    """The part of a description that every change of the endpoint changes."""
    if state is None:
        return None
    return state["EndpointStatus"], state["EndpointConfigName"], state["LastModifiedTime"]


def _older(config: str, made: list[str]) -> list[str]:
    """The configs older than one, in a list that begins with the newest."""
    return made[made.index(config) + 1 :] if config in made else []
