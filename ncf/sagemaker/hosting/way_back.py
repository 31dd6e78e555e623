"""What taking an endpoint back, or away, needs: the way without waiting, and the end of its alarms."""

from __future__ import annotations

from typing import Any

from ncf.aws.session import Aws, RefusedError

CALLS = ("cloudwatch:DeleteAlarms",)
"""What this module calls: permissions are made from it."""

AT_ONCE = "ALL_AT_ONCE"


def at_once() -> dict[str, Any]:
    """The way back: all traffic in one step, with nothing to wait for."""
    routing = {"Type": AT_ONCE, "WaitIntervalInSeconds": 0}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}


def errors_alarm(endpoint: str) -> str:
    """Name of the alarm that is made for an endpoint's 5xx answers."""
    return f"{endpoint}-errors"


def latency_alarm(endpoint: str) -> str:
    """Name of the alarm that is made for an endpoint's slow answers."""
    return f"{endpoint}-latency"


def delete_alarms(aws: Aws, endpoint: str) -> None:
    """Delete the alarms that were made for an endpoint, where there are any."""
    for name in (errors_alarm(endpoint), latency_alarm(endpoint)):
        try:
            aws.call("cloudwatch", "delete_alarms", AlarmNames=[name])
        except RefusedError as error:
            if not error.says_missing:
                raise
