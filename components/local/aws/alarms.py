"""CloudWatch alarms on endpoints: moto keeps them and their states, what they measure is measured here."""

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
    """The last requests of an endpoint, as SageMaker's metrics count them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[tuple[float, int, float]] = deque(maxlen=_KEPT_REQUESTS)

    def add(self, status: int, seconds: float) -> None:
        """A request was answered with ``status`` after ``seconds``."""
        with self._lock:
            self._requests.append((time.time(), status, seconds))

    def values(self, metric: str, since: float) -> list[float]:
        """One value a request: 0 or 1 for errors, microseconds for ModelLatency."""
        with self._lock:
            recent = [entry for entry in self._requests if entry[0] >= since]
        return [value for _, status, seconds in recent if (value := _value(metric, status, seconds)) is not None]


def _value(metric: str, status: int, seconds: float) -> float | None:
    """A request's value in a metric; None in one that is not measured here."""
    of_request = {
        "Invocations": 1.0,
        "Invocation4XXErrors": float(400 <= status < 500),
        "Invocation5XXErrors": float(status >= 500),
        "ModelLatency": seconds * 1e6,
    }
    return of_request.get(metric)


class Alarms:
    """The alarms that watch over an endpoint's update.

    Args:
        services: CloudWatch.
        names: of the alarms.

    Raises:
        ApiError: if one of them does not exist.
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
        """Have an alarm fire for ``seconds``."""
        self._alarm(name, "a fault was asked for", seconds)

    def firing(self, metrics: EndpointMetrics, since: float) -> str:
        """Which alarm is in state ALARM, and why; '' if none is.

        Args:
            metrics: of the endpoint; alarms on them are evaluated now, as CloudWatch does each period.
            since: time before which requests do not count.
        """
        for alarm in self._described():
            if alarm["StateValue"] == "ALARM":
                return f"{alarm['AlarmName']}: {alarm.get('StateReason') or 'in state ALARM'}"
            if reason := _breach(alarm, metrics, since):
                self._alarm(alarm["AlarmName"], reason, alarm["Period"] * alarm["EvaluationPeriods"])
                return f"{alarm['AlarmName']}: {reason}"
        return ""

    def _alarm(self, name: str, reason: str, seconds: float) -> None:
        """CloudWatch evaluates an alarm each period: it goes back when nothing is amiss any more."""
        self._set(name, "ALARM", reason)
        calm = threading.Timer(seconds, self._set, (name, "OK", "no datapoints beyond the threshold"))
        calm.daemon = True
        calm.start()

    def _set(self, name: str, state: str, reason: str) -> None:
        with contextlib.suppress(BotoCoreError, ClientError):  # it, or the whole stand-in, may be gone by then
            self._services.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason)


def _breach(alarm: Mapping[str, Any], metrics: EndpointMetrics, since: float) -> str:
    """How an alarm's metric is beyond its threshold; '' if it is not, or not one of an endpoint."""
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
