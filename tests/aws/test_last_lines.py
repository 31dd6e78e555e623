"""The last lines of a log that may be long: of the newest streams, since a time, by a bounded number of calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fake_sagemaker import FakeSageMaker, RefusalError

from ncf.aws.logs import last_lines
from ncf.aws.session import Aws

GROUP = "/aws/sagemaker/Endpoints/shop"
START = datetime(2026, 5, 1, tzinfo=UTC)


def at(minutes: float) -> int:
    return int((START + timedelta(minutes=minutes)).timestamp() * 1000)


def read(aws: Aws) -> list[str]:
    return last_lines(aws, GROUP, "AllTraffic/", START)


def test_lines_of_before_are_not_read(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.log = {
        "AllTraffic/i-old": [f"GET /ping {number}" for number in range(1000)],
        "AllTraffic/i-new": ["loading", "no memory"],
        "Other/i-new": ["of another variant"],
    }
    sagemaker.log_times = {"AllTraffic/i-old": at(-60), "AllTraffic/i-new": at(1), "Other/i-new": at(2)}
    assert read(aws) == ["loading", "no memory"]
    assert sagemaker.operations().count("GetLogEvents") <= 3


def test_the_newest_stream_has_the_last_lines(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.log = {f"AllTraffic/i-{name}": [f"{name}{number}" for number in range(15)] for name in "cab"}
    sagemaker.log_times = {"AllTraffic/i-a": at(1), "AllTraffic/i-b": at(2), "AllTraffic/i-c": at(3)}
    assert read(aws) == [*(f"b{number}" for number in range(10, 15)), *(f"c{number}" for number in range(15))]


def test_the_number_of_calls_is_bounded(aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    sagemaker.log = {f"AllTraffic/i-{number}": [] for number in range(500)}
    describe = sagemaker.DescribeLogStreams

    def paged(nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803
        start = int(nextToken)
        return {"logStreams": describe()["logStreams"][start : start + 50], "nextToken": str(start + 50)}

    monkeypatch.setattr(sagemaker, "DescribeLogStreams", paged)
    assert read(aws) == []
    assert sagemaker.operations().count("DescribeLogStreams") <= 3
    assert sagemaker.operations().count("GetLogEvents") <= 15


def test_pages_may_be_empty(aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    sagemaker.log = {"AllTraffic/i-1": ["a", "b"]}
    read_page = sagemaker.GetLogEvents

    def empty_first(nextToken: str = "", **request: Any) -> dict[str, Any]:  # noqa: N803
        if not nextToken:
            return {"events": [], "nextBackwardToken": "b/2", "nextForwardToken": "f/2"}
        return read_page(nextToken=nextToken, **request)

    monkeypatch.setattr(sagemaker, "GetLogEvents", empty_first)
    assert read(aws) == ["a", "b"]


@pytest.mark.parametrize("operation", ["DescribeLogStreams", "GetLogEvents"])
def test_without_permission_there_are_no_lines(
    operation: str, aws: Aws, sagemaker: FakeSageMaker, caplog: pytest.LogCaptureFixture
) -> None:
    sagemaker.log = {"AllTraffic/i-1": ["a"]}
    sagemaker.refusals[operation] = RefusalError("AccessDeniedException", "no")
    assert read(aws) == []
    assert "log lines are not shown" in caplog.text
    sagemaker.refusals[operation] = RefusalError("ResourceNotFoundException", "The specified log group does not exist.")
    caplog.clear()
    assert read(aws) == []
    assert caplog.text == ""
