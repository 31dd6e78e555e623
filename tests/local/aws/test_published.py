"""Metrics of an endpoint in the stand-in's CloudWatch."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_jobs import client, put_model, settle

from components.local.aws import LocalAws


def asked(aws: LocalAws, endpoint: str, metric: str, statistic: str, variant: str = "main") -> list[float]:
    names = {"EndpointName": endpoint, "VariantName": variant}
    metrics: dict[str, Any] = {
        "Namespace": "AWS/SageMaker",
        "MetricName": metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in names.items()],
    }
    query = {"Id": "one", "MetricStat": {"Metric": metrics, "Period": 3600, "Stat": statistic}}
    now = datetime.now(UTC)
    answer = client(aws, "cloudwatch").get_metric_data(
        MetricDataQueries=[query], StartTime=now - timedelta(minutes=30), EndTime=now + timedelta(minutes=1)
    )
    values: list[float] = answer["MetricDataResults"][0]["Values"]
    return values


def test_invocations_errors_and_latency(aws: LocalAws) -> None:
    sagemaker = client(aws, "sagemaker")
    sagemaker.create_endpoint(EndpointName="measured", EndpointConfigName=put_model(aws, "measured", "x"))
    settle(sagemaker, "measured")
    runtime, start = client(aws, "sagemaker-runtime"), time.perf_counter()
    for number in range(200):
        runtime.invoke_endpoint(EndpointName="measured", Body=str(number), ContentType="application/json")
    seconds = time.perf_counter() - start
    assert asked(aws, "measured", "Invocations", "Sum") == [200]
    assert asked(aws, "measured", "Invocations", "Sum") == [200], "each request is counted once"
    assert asked(aws, "measured", "Invocation5XXErrors", "Sum") == [0]
    (mean,), (p50,), (p99,), (most,) = (
        asked(aws, "measured", "ModelLatency", statistic) for statistic in ("Average", "p50", "p99", "Maximum")
    )
    assert 0 < p50 <= p99 <= most <= seconds * 1e6
    assert mean <= most
    assert asked(aws, "measured", "Invocations", "Sum", variant="other") == []
    assert asked(aws, "unknown", "Invocations", "Sum") == []


def test_a_call_of_cloudwatch_can_be_refused(aws: LocalAws) -> None:
    aws.faults.add("refuse", "GetMetricData", error="AccessDeniedException", times=1)
    with pytest.raises(ClientError, match="AccessDenied"):
        asked(aws, "measured", "Invocations", "Sum")
