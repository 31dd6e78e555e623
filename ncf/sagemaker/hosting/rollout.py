"""Rollout of an endpoint's update: traffic shifting, and alarms that roll it back (deployment guardrails).

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ncf.aws.names import VARIANT, errors_alarm, latency_alarm
from ncf.aws.session import Aws, poll
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.endpoint import ALL_AT_ONCE
from ncf.sagemaker.hosting.settings import MAX_UPDATE_SECONDS, EndpointSettings

CALLS = ("cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource")
"""AWS calls of this module, from which the IAM permissions are generated."""

_log = logging.getLogger(__name__)
_PERIOD_SECONDS = 60
_QUIET_TIMEOUT_SECONDS = 3 * _PERIOD_SECONDS
_ROUTING = {"all_at_once": ALL_AT_ONCE, "canary": "CANARY", "linear": "LINEAR"}
_STEP_SIZES = {"canary": "CanarySize", "linear": "LinearStepSize"}
_MIN_UPDATE_SECONDS, _MARGIN_SECONDS = 600, 600


class Rollout:
    """The alarms and the traffic shifting of one endpoint's update.

    Attributes:
        alarm_names: of all alarms, the endpoint's own and those of the parameter ``alarms``.
    """

    def __init__(self, aws: Aws, settings: EndpointSettings, endpoint: str) -> None:
        self._aws, self._settings, self._endpoint = aws, settings, endpoint
        self._own_alarms = _own_alarms(settings, endpoint)
        self.alarm_names = [*settings.alarm_names(), *(alarm["AlarmName"] for alarm in self._own_alarms)]

    def create_alarms(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Create the endpoint's own alarms, which have to exist before the update."""
        for alarm in self._own_alarms:
            self._aws.call("cloudwatch", "put_metric_alarm", **alarm, Tags=list(tags))

    def wait_until_quiet(self) -> None:
        """Wait until no alarm fires: an alarm that fires would roll the update back at once.

        Raises:
            RemoteError: if an alarm does not exist, or still fires after three minutes.
        """
        if missing := sorted(set(self.alarm_names) - self._alarms().keys()):
            raise RemoteError(f"parameter 'alarms': there is no CloudWatch alarm {missing[0]} in {self._aws.region}")
        firing = ""
        for _ in poll(_QUIET_TIMEOUT_SECONDS):
            before, firing = firing, self.firing()
            if not firing:
                return
            if not before:
                _log.warning("endpoint %s: the update waits for an alarm: %s", self._endpoint, firing)
        if firing:
            raise RemoteError(
                f"endpoint {self._endpoint} is not updated, as an alarm fires that would roll it back: {firing}; "
                "set 'alarm_on_errors' to false to update nevertheless, or resolve the alarm"
            )

    def firing(self) -> str:
        """The alarms that fire, with their reasons; '' if none does."""
        firing = [alarm for alarm in self._alarms().values() if alarm["StateValue"] == "ALARM"]
        return "; ".join(f"alarm {alarm['AlarmName']}: {alarm.get('StateReason', '')}" for alarm in firing)

    def _alarms(self) -> dict[str, dict[str, Any]]:
        if not self.alarm_names:
            return {}
        found = self._aws.call("cloudwatch", "describe_alarms", AlarmNames=self.alarm_names)["MetricAlarms"]
        return {alarm["AlarmName"]: alarm for alarm in found}

    def deployment_config(self) -> dict[str, Any]:
        """DeploymentConfig of the update."""
        settings = self._settings
        routing: dict[str, Any] = {
            "Type": _ROUTING[settings.traffic_shift],
            "WaitIntervalInSeconds": settings.bake_time,
        }
        if size := _STEP_SIZES.get(settings.traffic_shift):
            routing[size] = {"Type": "CAPACITY_PERCENT", "Value": settings.shift_percent}
        limit = settings.shift_seconds() + settings.startup_timeout + _MARGIN_SECONDS
        config: dict[str, Any] = {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing,
                "TerminationWaitInSeconds": settings.termination_wait,
                "MaximumExecutionTimeoutInSeconds": min(MAX_UPDATE_SECONDS, max(_MIN_UPDATE_SECONDS, limit)),
            }
        }
        if self.alarm_names:
            config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in self.alarm_names]}
        return config


def _own_alarms(settings: EndpointSettings, endpoint: str) -> list[dict[str, Any]]:
    """Arguments of PutMetricAlarm for each of the endpoint's own alarms."""
    if not settings.bake_time or settings.serverless_memory:
        return []
    common = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": VARIANT}],
        "Period": _PERIOD_SECONDS,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    alarms = []
    if settings.alarm_on_errors:
        name = {"AlarmName": errors_alarm(endpoint), "AlarmDescription": f"Endpoint {endpoint} answers 5xx"}
        alarms.append({**common, **name, "MetricName": "Invocation5XXErrors", "Statistic": "Sum", "Threshold": 0.0})
    if settings.max_latency:
        name = {"AlarmName": latency_alarm(endpoint), "AlarmDescription": f"Endpoint {endpoint} answers slowly"}
        limit = settings.max_latency * 1000.0  # microseconds
        alarms.append({**common, **name, "MetricName": "ModelLatency", "Statistic": "Average", "Threshold": limit})
    return alarms
