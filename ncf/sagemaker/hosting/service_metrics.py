"""Invocations, errors and latency of an endpoint, from CloudWatch.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ncf.aws.session import Aws
from ncf.monitoring.service import HourOfService, Service
from ncf.monitoring.window import HOUR_SECONDS, Window

CALLS = ("cloudwatch:GetMetricData",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_NAMESPACE = "AWS/SageMaker"
_MICROSECONDS = 1000.0  # of a millisecond: the unit of latencies
_SERIES: Mapping[str, tuple[str, str]] = {
    "invocations": ("Invocations", "Sum"),
    "client_errors": ("Invocation4XXErrors", "Sum"),
    "server_errors": ("Invocation5XXErrors", "Sum"),
    "latency": ("ModelLatency", "Average"),
    "latency_p99": ("ModelLatency", "p99"),
    "overhead": ("OverheadLatency", "Average"),
    "overhead_p99": ("OverheadLatency", "p99"),
}
"""Figure -> metric and statistic."""
_COUNTS = ("invocations", "client_errors", "server_errors")


def service_of(aws: Aws, endpoint: str, variants: Sequence[str], window: Window) -> Service:
    """The service in the hours that begin in a window.

    The figures of all variants are one: counts are sums, means are weighted by invocations, and a p99 is the highest.

    Args:
        aws: clients.
        endpoint: its name.
        variants: names of its variants.
        window: of time. CloudWatch keeps hours for 455 days.

    Raises:
        RemoteError: if AWS refuses a call or cannot be reached.
    """
    values: dict[datetime, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for variant in variants:
        for name, moment, value in _values(aws, endpoint, variant, window):
            values[moment][variant][name] = value
    return Service([_hour(moment, list(of.values())) for moment, of in sorted(values.items())])


def _values(aws: Aws, endpoint: str, variant: str, window: Window) -> Iterator[tuple[str, datetime, float]]:
    """Figure, hour and value."""
    names = {"EndpointName": endpoint, "VariantName": variant}
    dimensions = [{"Name": name, "Value": value} for name, value in names.items()]
    queries = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": _NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                "Period": HOUR_SECONDS,
                "Stat": statistic,
            },
        }
        for name, (metric, statistic) in _SERIES.items()
    ]
    start = window.start.replace(minute=0, second=0, microsecond=0)
    for page in aws.pages(
        "cloudwatch", "get_metric_data", MetricDataQueries=queries, StartTime=start, EndTime=window.end
    ):
        for result in page["MetricDataResults"]:
            for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                yield result["Id"], moment.astimezone(UTC), float(value)


def _hour(moment: datetime, variants: Sequence[Mapping[str, Any]]) -> HourOfService:
    counts = {name: round(sum(variant.get(name, 0.0) for variant in variants)) for name in _COUNTS}
    total = max(1, counts["invocations"])

    def mean(name: str) -> float:
        weighted = sum(variant.get(name, 0.0) * variant.get("invocations", 0.0) for variant in variants)
        return float(weighted / total / _MICROSECONDS)

    def highest(name: str) -> float:
        return float(max(variant.get(name, 0.0) for variant in variants) / _MICROSECONDS)

    return HourOfService(
        moment,
        **counts,
        latency=mean("latency"),
        latency_p99=highest("latency_p99"),
        overhead=mean("overhead"),
        overhead_p99=highest("overhead_p99"),
    )
