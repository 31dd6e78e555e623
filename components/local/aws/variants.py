"""The production variants of an endpoint config in service: a fleet each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.local.aws.errors import ApiError, invalid
from components.local.aws.fleet import Fleet

Description = Mapping[str, Any]
"""A production variant of an endpoint config."""


class Variants:
    """The fleets of an endpoint config. Requests are shared out by weight, or go to the variant that they name.

    Args:
        described: the production variants.
        start: starts the fleet of a variant.

    Raises:
        ApiError, OSError: if a fleet cannot be started. Those that were started are stopped.
    """

    def __init__(self, described: Sequence[Description], start: Callable[[Description], Fleet]) -> None:
        self._fleets: dict[str, Fleet] = {}
        try:
            for variant in described:
                self._fleets[variant["VariantName"]] = start(variant)
        except (ApiError, OSError):
            self.stop()
            raise
        self._weights = {variant["VariantName"]: variant.get("InitialVariantWeight", 1.0) for variant in described}
        self._credit = dict.fromkeys(self._fleets, 0.0)

    @property
    def first(self) -> Fleet:
        return next(iter(self._fleets.values()))

    def take(self, target: str) -> Fleet:
        """The fleet of the next request: ``TargetVariant``, or by the weights.

        Raises:
            ApiError: if there is no such variant.
        """
        if target and target not in self._fleets:
            raise ApiError("ValidationError", f"Variant {target} not found for Request")
        if target:
            return self._fleets[target]
        total = sum(self._weights.values())
        for name, weight in self._weights.items():
            self._credit[name] += weight / total if total else 0.0
        chosen = max(self._credit, key=self._credit.__getitem__)
        self._credit[chosen] -= 1
        return self._fleets[chosen]

    def change(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Set weights and numbers of instances: DesiredWeightsAndCapacities.

        Raises:
            ApiError: if there is no such variant.
        """
        for entry in wanted:
            if entry["VariantName"] not in self._fleets:
                raise invalid(f'Could not find variant "{entry["VariantName"]}".')
        for entry in wanted:
            name = entry["VariantName"]
            self._fleets[name].count = entry.get("DesiredInstanceCount", self._fleets[name].count)
            self._weights[name] = entry.get("DesiredWeight", self._weights[name])

    def counts(self) -> dict[str, int]:
        """Number of instances of each variant."""
        return {name: fleet.count for name, fleet in self._fleets.items()}

    def summary(self) -> list[dict[str, Any]]:
        """The variants in the answer of DescribeEndpoint."""
        return [fleet.summary(self._weights[name]) for name, fleet in self._fleets.items()]

    def becomes_healthy(self, seconds: float) -> bool:
        """Whether the programs of all fleets become healthy within ``seconds`` each."""
        return all(fleet.becomes_healthy(seconds) for fleet in self._fleets.values())

    def last_lines(self) -> str:
        return " | ".join(lines for fleet in self._fleets.values() if (lines := fleet.last_lines()))

    def drain(self, seconds: float) -> None:
        for fleet in self._fleets.values():
            fleet.drain(seconds)

    def leave(self) -> None:
        for fleet in self._fleets.values():
            fleet.leave()

    def stop(self) -> None:
        for fleet in self._fleets.values():
            fleet.stop()

    def close_log(self) -> None:
        for fleet in self._fleets.values():
            fleet.close_log()


def check_variants(described: Sequence[Description]) -> None:
    """Check the production variants of a new endpoint config.

    Raises:
        ApiError: if two have the same name.
    """
    names = [variant["VariantName"] for variant in described]
    if len(set(names)) < len(names):
        raise invalid("The production variants must have unique names.")


def check_guardrails(before: Sequence[str], after: Sequence[str], deployment: Mapping[str, Any] | None) -> None:
    """Check that an update with a DeploymentConfig keeps the variants.

    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-exclusions.html

    Raises:
        ApiError: if it does not.
    """
    if deployment and sorted(before) != sorted(after):
        raise invalid(
            "DeploymentConfig is not supported: the new endpoint configuration must have the same variant names as the "
            "old endpoint configuration."
        )
