"""Figures of a job that has ended: times, interruptions, cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncf.aws.session import Aws
from ncf.reports.job import EndedJob
from ncf.sagemaker.jobs.plan import Plan
from ncf.sagemaker.jobs.pricing import instance_price
from ncf.sagemaker.jobs.settings import InstanceSettings

_SECONDS_PER_HOUR = 3600


def figures(
    aws: Aws, plan: Plan, description: Mapping[str, Any], results: Mapping[str, object] | None = None
) -> EndedJob:
    """The figures of a job that has ended.

    Args:
        aws: clients to call, for the price list.
        plan: of the job.
        description: SageMaker's description of the job.
        results: further rows of its report, by name.
    """
    settings = plan.settings
    seconds, billable = plan.seconds(description)
    transitions = description.get("SecondaryStatusTransitions", ())
    return EndedJob(
        name=plan.kind.name_of(description),
        status=plan.kind.status_of(description),
        verb=plan.verb,
        instance_type=settings.instance_type,
        instance_count=settings.instance_count,
        is_spot=getattr(settings, "spot_instance", False),
        seconds=seconds,
        billable_seconds=billable,
        cost_usd=None if billable is None else _cost(aws, settings, plan.priced_as, billable),
        interruptions=sum(entry["Status"] == "Interrupted" for entry in transitions),
        results=results or {},
    )


def hourly_price(aws: Aws, settings: InstanceSettings, used_for: str) -> float | None:
    """Price of all instances, USD per hour; None if it is not known.

    Args:
        aws: clients to call, for the price list.
        settings: of the job.
        used_for: component of SageMaker in the price list.
    """
    price = settings.price_per_hour or instance_price(aws, settings.instance_type, used_for)
    return price * settings.instance_count if price else None


def _cost(aws: Aws, settings: InstanceSettings, used_for: str, billable_seconds: float) -> float | None:
    """Cost of all instances without storage and transfer, USD; None if no price is known."""
    price = hourly_price(aws, settings, used_for)
    return billable_seconds * price / _SECONDS_PER_HOUR if price else None
