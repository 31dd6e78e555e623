"""SageMaker's metrics of endpoints in CloudWatch: moto stores them, and is given percentiles."""

from __future__ import annotations

import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from components.local.aws.alarms import NAMESPACE, value_of
from components.local.aws.services import Services

METRICS: Mapping[str, str] = {
    "Invocations": "None",
    "Invocation4XXErrors": "None",
    "Invocation5XXErrors": "None",
    "ModelLatency": "Microseconds",
}
"""Metric -> unit. ``OverheadLatency`` is not measured."""
_MINUTE_SECONDS = 60
_MAX_VALUES, _MAX_METRICS = 150, 1000
"""Values of one metric, and metrics of one request, of PutMetricData at most."""
_KEPT_REQUESTS = 100_000
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")


class Publisher:
    """Metrics of an endpoint that CloudWatch has not been told yet. It is told when it is asked, so late by nothing.

    Args:
        endpoint: its name.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._waiting: deque[tuple[float, str, int, float]] = deque(maxlen=_KEPT_REQUESTS)

    def add(self, moment: float, variant: str, status: int, seconds: float) -> None:
        """Add a request.

        Args:
            moment: of the request, seconds since 1970.
            variant: that answered.
            status: HTTP status of the answer.
            seconds: latency of the answer.
        """
        with self._lock:
            self._waiting.append((moment, variant, status, seconds))

    def publish(self, services: Services) -> None:
        """Send the metrics of all requests since the last call."""
        with self._lock:
            requests, self._waiting = list(self._waiting), deque(maxlen=_KEPT_REQUESTS)
        data = list(self._data(requests))
        for start in range(0, len(data), _MAX_METRICS):
            services.cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data[start : start + _MAX_METRICS])

    def _data(self, requests: Iterable[tuple[float, str, int, float]]) -> Iterator[dict[str, Any]]:
        values: dict[tuple[int, str, str], list[float]] = defaultdict(list)
        for moment, variant, status, seconds in requests:
            for metric in METRICS:
                value = value_of(metric, status, seconds)
                if value is not None:
                    values[int(moment) // _MINUTE_SECONDS * _MINUTE_SECONDS, variant, metric].append(value)
        for (minute, variant, metric), found in values.items():
            names = {"EndpointName": self._endpoint, "VariantName": variant}
            for start in range(0, len(found), _MAX_VALUES):
                yield {
                    "MetricName": metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in names.items()],
                    "Timestamp": datetime.fromtimestamp(minute, UTC),
                    "Values": found[start : start + _MAX_VALUES],
                    "Unit": METRICS[metric],
                }


def with_percentiles() -> None:
    """Let moto answer GetMetricData with percentiles, which it leaves empty."""
    from moto.cloudwatch.models import Statistics

    if hasattr(Statistics, "of_moto"):
        return
    Statistics.of_moto = Statistics.get_statistics_for_type
    Statistics.get_statistics_for_type = _statistic


def _statistic(self: Any, stat: str) -> Any:
    if not (found := _PERCENTILE.fullmatch(stat)):
        return self.of_moto(stat)
    values = sorted(self.metric_single_values_list)
    return values[min(len(values) - 1, int(len(values) * float(found[1]) / 100))] if values else None
