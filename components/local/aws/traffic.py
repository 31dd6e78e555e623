"""Traffic shifting of an endpoint's update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.local.aws.errors import invalid


class Deployment:
    """Traffic shifting of an update, from the ``DeploymentConfig`` of a request.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeploymentConfig.html
    """

    def __init__(self, config: Mapping[str, Any] | None) -> None:
        self.config = dict(config or {})
        policy = self.config.get("BlueGreenUpdatePolicy", {})
        routing = policy.get("TrafficRoutingConfiguration", {})
        self.shares = _shares(routing)
        self.bake_seconds = float(routing.get("WaitIntervalInSeconds", 0))
        self.termination_seconds = float(policy.get("TerminationWaitInSeconds", 0))
        rollback = self.config.get("AutoRollbackConfiguration", {})
        self.alarm_names = [alarm["AlarmName"] for alarm in rollback.get("Alarms", [])]


def _shares(routing: Mapping[str, Any]) -> list[float]:
    """Share of traffic for the new fleet, in each step."""
    kind = routing.get("Type", "ALL_AT_ONCE")
    if kind == "CANARY":
        return [_share(routing["CanarySize"]), 1.0]
    if kind == "LINEAR":
        step = _share(routing["LinearStepSize"])
        return [min(1.0, step * number) for number in range(1, round(1 / step + 0.499) + 1)]
    return [1.0]


def _share(size: Mapping[str, Any]) -> float:
    if size["Type"] != "CAPACITY_PERCENT":
        raise invalid("This stand-in supports only the type CAPACITY_PERCENT")
    return float(size["Value"]) / 100
