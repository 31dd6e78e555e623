"""CloudWatch alarms on endpoints. moto stores alarms and their states; this module measures the metrics."""

from __future__ import annotations

import contextlib
import operator
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from components.local.aws.errors import invalid
from components.local.aws.services import Services

NAMESPACE = "AWS/SageMaker"
_KEPT_REQUESTS = 10_000
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Average": lambda values: sum(values) / len(values),
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
}


class EndpointMetrics:
    """SageMaker's metrics of an endpoint, over its latest requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[tuple[float, int, float]] = deque(maxlen=_KEPT_REQUESTS)

    def add(self, status: int, seconds: float) -> None:
        """Add a request.

        Args:
            status: HTTP status of the answer.
            seconds: latency of the answer.
        """
        with self._lock:
            self._requests.append((time.time(), status, seconds))

    def values(self, metric: str, since: float) -> list[float]:
        """Values of a metric, one for each request: 0 or 1 for errors, microseconds for ModelLatency.

        Args:
            metric: name of the metric.
            since: start of the period, in seconds since 1970.
        """
        with self._lock:
            recent = [entry for entry in self._requests if entry[0] >= since]
        return [value for _, status, seconds in recent if (value := value_of(metric, status, seconds)) is not None]


def value_of(metric: str, status: int, seconds: float) -> float | None:
    """Value of a metric for a request: a count, or microseconds for ModelLatency; None for an unsupported metric."""
    of_request = {
        "Invocations": 1.0,
        "Invocation4XXErrors": float(400 <= status < 500),
        "Invocation5XXErrors": float(status >= 500),
        "ModelLatency": seconds * 1e6,
    }
    return of_request.get(metric)


class Alarms:
    """Alarms of an endpoint update.

    Args:
        services: client of CloudWatch.
        names: names of the alarms.

    Raises:
        ApiError: if an alarm does not exist.
    """

    def __init__(self, services: Services, names: Sequence[str]) -> None:
        self._services, self._names = services, list(names)
        if missing := set(names) - {alarm["AlarmName"] for alarm in self._described()}:
            raise invalid(f"Could not find alarm: {', '.join(sorted(missing))}")

    def _described(self) -> list[dict[str, Any]]:
        if not self._names:
            return []
        answer: list[dict[str, Any]] = self._services.cloudwatch.describe_alarms(AlarmNames=self._names)["MetricAlarms"]
        return answer

    @property
    def names(self) -> list[str]:
        return list(self._names)

    def raise_one(self, name: str, seconds: float) -> None:
        """Set an alarm to ALARM for a number of seconds."""
        self._alarm(name, "a fault was injected", seconds)

    def firing(self, metrics: EndpointMetrics, since: float) -> str:
        """Name and reason of an alarm in state ALARM; '' for none.

        Args:
            metrics: metrics of the endpoint. Alarms on them are evaluated now, whereas CloudWatch does so each period.
            since: time of the first request to count, in seconds since 1970.
        """
        for alarm in self._described():
            if alarm["StateValue"] == "ALARM":
                return f"{alarm['AlarmName']}: {alarm.get('StateReason') or 'in state ALARM'}"
            if reason := _breach(alarm, metrics, since):
                self._alarm(alarm["AlarmName"], reason, alarm["Period"] * alarm["EvaluationPeriods"])
                return f"{alarm['AlarmName']}: {reason}"
        return ""

    def _alarm(self, name: str, reason: str, seconds: float) -> None:
        """Set an alarm to ALARM, and back to OK after a number of seconds, as periodic evaluation would."""
        self._set(name, "ALARM", reason)
        calm = threading.Timer(seconds, self._set, (name, "OK", "no datapoints beyond the threshold"))
        calm.daemon = True
        calm.start()

    def _set(self, name: str, state: str, reason: str) -> None:
        with contextlib.suppress(BotoCoreError, ClientError):  # the alarm or the stand-in may be gone
            self._services.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason)


def _breach(alarm: Mapping[str, Any], metrics: EndpointMetrics, since: float) -> str:
    """Reason of an alarm if its metric is beyond the threshold; else '', and '' for metrics of other namespaces."""
    if alarm.get("Namespace") != NAMESPACE:
        return ""
    period = alarm["Period"] * alarm["EvaluationPeriods"]
    values = metrics.values(alarm["MetricName"], max(since, time.time() - period))
    statistic, comparison = _STATISTICS.get(alarm.get("Statistic", "")), _COMPARISONS[alarm["ComparisonOperator"]]
    if not values or statistic is None or not comparison(value := statistic(values), alarm["Threshold"]):
        return ""
    return (
        f"Threshold Crossed: {alarm['Statistic']} of {alarm['MetricName']} is {value:g}, "
        f"{alarm['ComparisonOperator']} {alarm['Threshold']:g}"
    )
