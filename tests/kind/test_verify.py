"""What is looked for in the stand-in after a run, with the gate open and closed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

LIVE = {"ncf-open": "InService"}


class Paginator:
    def __init__(self, page: dict[str, Any]) -> None:
        self._page = page

    def paginate(self) -> Iterator[dict[str, Any]]:
        yield self._page


class SageMaker:
    """Jobs and endpoints with their states."""

    def __init__(self, jobs: dict[str, str], endpoints: dict[str, str]) -> None:
        self._endpoints = endpoints
        entries = [{"TrainingJobName": name, "TrainingJobStatus": status} for name, status in jobs.items()]
        self._pages = {
            "list_training_jobs": {"TrainingJobSummaries": entries},
            "list_endpoints": {"Endpoints": [{"EndpointName": name} for name in endpoints]},
        }

    def get_paginator(self, operation: str) -> Paginator:
        return Paginator(self._pages[operation])

    def describe_endpoint(self, **request: str) -> dict[str, str]:
        return {"EndpointStatus": self._endpoints[request["EndpointName"]]}


class Runtime:
    """An endpoint that answers so many items from such a source."""

    def __init__(self, items: int = 5, source: str = "model") -> None:
        self._items, self._source = items, source

    def invoke_endpoint(self, **request: str) -> dict[str, Any]:
        entries = [
            {"user": user, "source": self._source, "items": [{"item": str(item)} for item in range(self._items)]}
            for user in json.loads(request["Body"])["users"]
        ]
        return {"Body": io.BytesIO(json.dumps({"recommendations": entries}).encode())}


@pytest.mark.parametrize(
    ("endpoints", "runtime", "said"),
    [
        (LIVE, Runtime(), ""),
        ({}, Runtime(), "there is no endpoint ncf-open, though the gate was open"),
        ({"ncf-open": "Creating"}, Runtime(), "is Creating; expected InService"),
        (LIVE, Runtime(items=4), "4"),
        (LIVE, Runtime(source="popularity"), "popularity"),
    ],
)
def test_an_open_gate_leaves_an_endpoint_that_recommends(
    verify: ModuleType, endpoints: dict[str, str], runtime: Runtime, said: str
) -> None:
    fault = verify.open_fault(SageMaker({}, endpoints), runtime, "ncf-open")
    assert said in fault
    assert bool(fault) == bool(said)


def test_a_closed_gate_leaves_none(verify: ModuleType) -> None:
    assert not verify.closed_fault(SageMaker({}, LIVE), "ncf-closed")
    assert "ncf-closed, though the gate was closed" in verify.closed_fault(
        SageMaker({}, {"ncf-closed": "InService"}), "ncf-closed"
    )


@pytest.mark.parametrize(
    ("jobs", "right"),
    [
        ({"a": "Completed", "b": "Completed"}, True),
        ({"a": "Completed"}, False),
        ({"a": "Completed", "b": "Completed", "c": "Completed"}, False),
        ({"a": "Completed", "b": "Completed", "c": "Failed"}, False),
    ],
)
def test_each_run_has_trained_once(verify: ModuleType, jobs: dict[str, str], right: bool) -> None:
    assert bool(verify.jobs_fault(SageMaker(jobs, {}), 2)) != right
