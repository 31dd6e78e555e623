"""Metrics of a training job: values in its log, found by the regular expressions of its request.

https://docs.aws.amazon.com/sagemaker/latest/dg/define-train-metric.html
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from components.local.aws.errors import invalid


class JobMetrics:
    """The values of each metric, in the order of the log.

    Args:
        definitions: ``MetricDefinitions`` of the request.

    Raises:
        ApiError: if a regular expression is invalid.
    """

    def __init__(self, definitions: Sequence[Mapping[str, str]]) -> None:
        try:
            self._patterns = {entry["Name"]: re.compile(entry["Regex"]) for entry in definitions}
        except re.error as error:
            raise invalid(f"MetricDefinitions: {error}") from None
        self._lock = threading.Lock()
        self._values: dict[str, list[tuple[float, float]]] = {name: [] for name in self._patterns}

    def line(self, text: str) -> None:
        """Read a line of the log."""
        for name, pattern in self._patterns.items():
            for found in pattern.finditer(text):
                try:
                    value = float(found[1] if pattern.groups else found[0])
                except (ValueError, TypeError):
                    continue
                with self._lock:
                    self._values[name].append((time.time(), value))

    def values(self, name: str) -> list[float]:
        """Values of a metric so far."""
        with self._lock:
            return [value for _, value in self._values.get(name, [])]

    def final(self) -> list[dict[str, Any]]:
        """``FinalMetricDataList`` of a description: the last value of each metric that has one."""
        with self._lock:
            last = {name: values[-1] for name, values in self._values.items() if values}
        return [{"MetricName": name, "Value": value, "Timestamp": when} for name, (when, value) in last.items()]
