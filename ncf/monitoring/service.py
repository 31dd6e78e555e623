"""Figures of the service itself, by CloudWatch: invocations, errors and latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class HourOfService:
    """An hour with invocations.

    Attributes:
        start: of the hour, UTC.
        invocations: number of requests.
        client_errors: answers with status 4xx.
        server_errors: answers with status 5xx.
        latency: of the container, mean, ms.
        latency_p99: of the container, ms.
        overhead: of SageMaker, mean, ms; 0 if not known.
        overhead_p99: of SageMaker, ms; 0 if not known.
    """

    start: datetime
    invocations: int
    client_errors: int
    server_errors: int
    latency: float
    latency_p99: float
    overhead: float = 0.0
    overhead_p99: float = 0.0

    @property
    def total_p99(self) -> float:
        """Upper bound of the p99 that a caller sees, ms: container and overhead."""
        return self.latency_p99 + self.overhead_p99


@dataclass(frozen=True)
class Service:
    """The service in a window.

    Attributes:
        hours: with invocations, in order.
    """

    hours: Sequence[HourOfService] = ()

    @property
    def invocations(self) -> int:
        return sum(hour.invocations for hour in self.hours)

    @property
    def client_errors(self) -> int:
        return sum(hour.client_errors for hour in self.hours)

    @property
    def server_errors(self) -> int:
        return sum(hour.server_errors for hour in self.hours)

    @property
    def slowest(self) -> HourOfService | None:
        """The hour with the highest latency; None without invocations."""
        return max(self.hours, key=lambda hour: hour.total_p99, default=None)
