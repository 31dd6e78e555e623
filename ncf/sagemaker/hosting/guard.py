"""What guards an endpoint's update: how traffic is shifted, and the alarms that bring it back.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ncf.aws.session import Aws, poll
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.settings import MAX_UPDATE_SECONDS, EndpointSettings
from ncf.sagemaker.hosting.way_back import AT_ONCE, errors_alarm, latency_alarm

CALLS = ("cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource")
"""What this module calls: permissions are made from it."""

_log = logging.getLogger(__name__)
_PERIOD_SECONDS = 60
_SECONDS_TO_CALM = 3 * _PERIOD_SECONDS
_ROUTING = {"all_at_once": AT_ONCE, "canary": "CANARY", "linear": "LINEAR"}
_STEP_SIZES = {"canary": "CanarySize", "linear": "LinearStepSize"}
_SHORTEST, _MARGIN = 600, 600


def own_alarms(settings: EndpointSettings, endpoint: str, variant: str) -> list[dict[str, Any]]:
    """The alarms that are made for an endpoint: the arguments of PutMetricAlarm."""
    if not settings.bake_time:
        return []
    common = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
        "Period": _PERIOD_SECONDS,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    made = []
    if settings.alarm_on_errors:
        about = {"AlarmName": errors_alarm(endpoint), "AlarmDescription": f"Endpoint {endpoint} answers 5xx"}
        made.append({**common, **about, "MetricName": "Invocation5XXErrors", "Statistic": "Sum", "Threshold": 0.0})
    if settings.max_latency:
        about = {"AlarmName": latency_alarm(endpoint), "AlarmDescription": f"Endpoint {endpoint} answers slowly"}
        microseconds = settings.max_latency * 1000.0
        made.append(
            {**common, **about, "MetricName": "ModelLatency", "Statistic": "Average", "Threshold": microseconds}
        )
    return made


class Guard:
    """The alarms and the way of shifting for one endpoint's update."""

    def __init__(self, aws: Aws, settings: EndpointSettings, endpoint: str, variant: str) -> None:
        self._aws, self._settings, self._endpoint = aws, settings, endpoint
        self._own = own_alarms(settings, endpoint, variant)
        self.names = [*settings.alarm_names(), *(alarm["AlarmName"] for alarm in self._own)]

    def prepare(self, tags: Sequence[Mapping[str, str]]) -> None:
        """Make the endpoint's own alarms; SageMaker asks for alarms that exist."""
        for alarm in self._own:
            self._aws.call("cloudwatch", "put_metric_alarm", **alarm, Tags=list(tags))

    def check_quiet(self) -> None:
        """Wait until no alarm fires: an update that begins under one goes back at once.

        Raises:
            RemoteError: if an alarm is missing, or goes on firing.
        """
        known = self._described()
        if missing := sorted(set(self.names) - known.keys()):
            raise RemoteError(f"parameter 'alarms': there is no CloudWatch alarm {missing[0]} in {self._aws.region}")
        firing = ""
        for _ in poll(_SECONDS_TO_CALM):
            before, firing = firing, self.firing()
            if not firing:
                return
            if not before:
                _log.warning("endpoint %s is not updated yet, since %s", self._endpoint, firing)
        if firing:
            raise RemoteError(
                f"endpoint {self._endpoint} is not updated, since an alarm that would take it back still fires: "
                f"{firing}; set 'alarm_on_errors' to false to update all the same, or see to the alarm"
            )

    def firing(self) -> str:
        """Which of the alarms fire, and why; '' if none does."""
        states = [alarm for alarm in self._described().values() if alarm["StateValue"] == "ALARM"]
        return "; ".join(f"alarm {alarm['AlarmName']}: {alarm.get('StateReason', '')}" for alarm in states)

    def _described(self) -> dict[str, dict[str, Any]]:
        if not self.names:
            return {}
        found = self._aws.call("cloudwatch", "describe_alarms", AlarmNames=self.names)["MetricAlarms"]
        return {alarm["AlarmName"]: alarm for alarm in found}

    def deployment_config(self) -> dict[str, Any]:
        """How SageMaker is to shift the traffic, and when to take it back."""
        settings = self._settings
        routing: dict[str, Any] = {
            "Type": _ROUTING[settings.traffic_shift],
            "WaitIntervalInSeconds": settings.bake_time,
        }
        if size := _STEP_SIZES.get(settings.traffic_shift):
            routing[size] = {"Type": "CAPACITY_PERCENT", "Value": settings.shift_percent}
        limit = settings.shift_seconds() + settings.startup_timeout + _MARGIN
        config: dict[str, Any] = {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing,
                "TerminationWaitInSeconds": settings.termination_wait,
                "MaximumExecutionTimeoutInSeconds": min(MAX_UPDATE_SECONDS, max(_SHORTEST, limit)),
            }
        }
        if self.names:
            config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in self.names]}
        return config
