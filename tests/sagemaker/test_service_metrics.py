"""Figures of CloudWatch for an endpoint's hours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from captured import window
from fake_sagemaker import FakeSageMaker

from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.hosting.service_metrics import service_of

EIGHT, NINE = datetime(2026, 5, 4, 8, tzinfo=UTC), datetime(2026, 5, 4, 9, tzinfo=UTC)


def page(values: dict[str, dict[datetime, float]], **more: Any) -> dict[str, Any]:
    results = [
        {"Id": name, "Timestamps": list(points), "Values": list(points.values()), "StatusCode": "Complete"}
        for name, points in values.items()
    ]
    return {"MetricDataResults": results, **more}


def test_the_hours_of_all_variants_are_one(sagemaker: FakeSageMaker, aws: Aws) -> None:
    asked = {"MetricDataQueries": ANY, "StartTime": ANY, "EndTime": ANY}
    first = {"invocations": {NINE: 30.0}, "latency": {NINE: 1000.0}, "latency_p99": {NINE: 5000.0}}
    rest = {"invocations": {EIGHT: 5.0}, "server_errors": {EIGHT: 1.0}}
    other = {"invocations": {NINE: 10.0}, "latency": {NINE: 5000.0}, "overhead_p99": {NINE: 2000.0}}
    with Stubber(aws.client("cloudwatch")) as stub:
        stub.add_response("get_metric_data", page(first, NextToken="more"), asked)
        stub.add_response("get_metric_data", page(rest), {**asked, "NextToken": "more"})
        stub.add_response("get_metric_data", page(other), asked)
        found = service_of(aws, "shop", ["AllTraffic", "challenger"], window())
        stub.assert_no_pending_responses()
    assert [hour.start for hour in found.hours] == [EIGHT, NINE]
    assert (found.invocations, found.server_errors, found.client_errors) == (45, 1, 0)
    assert found.hours[1].latency == pytest.approx((30 * 1000 + 10 * 5000) / 40 / 1000), "ms"
    assert found.slowest == found.hours[1]
    assert found.hours[1].total_p99 == 7.0


def test_a_refusal_names_the_call(sagemaker: FakeSageMaker, aws: Aws) -> None:
    with Stubber(aws.client("cloudwatch")) as stub:
        stub.add_client_error("get_metric_data", "AccessDenied", "no", http_status_code=403)
        with pytest.raises(RemoteError, match="AWS refused get_metric_data: AccessDenied"):
            service_of(aws, "shop", ["AllTraffic"], window())


def test_an_hour_without_invocations_is_left_out(sagemaker: FakeSageMaker, aws: Aws) -> None:
    with Stubber(aws.client("cloudwatch")) as stub:
        stub.add_response("get_metric_data", page({}), None)
        assert service_of(aws, "shop", ["AllTraffic"], window()).slowest is None
