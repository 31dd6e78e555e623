"""Figures of a training job that has ended: times, interruptions, cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncf.aws.session import Aws
from ncf.forecast.machines import TrainingInstances
from ncf.reports.training_job import TrainingJob
from ncf.sagemaker.training.pricing import training_price
from ncf.sagemaker.training.settings import JobSettings

_SECONDS_PER_HOUR = 3600


def figures(aws: Aws, settings: JobSettings, description: Mapping[str, Any]) -> TrainingJob:
    """The figures of a job that has ended.

    Args:
        aws: clients to call, for the price list.
        settings: of the job.
        description: SageMaker's answer to DescribeTrainingJob.
    """
    billable = description.get("BillableTimeInSeconds")
    transitions = description.get("SecondaryStatusTransitions", ())
    return TrainingJob(
        name=description["TrainingJobName"],
        status=description["TrainingJobStatus"],
        instance_type=settings.instance_type,
        instance_count=settings.instance_count,
        is_spot=settings.spot_instance,
        training_seconds=description.get("TrainingTimeInSeconds"),
        billable_seconds=billable,
        cost_usd=None if billable is None else _cost(aws, settings, billable),
        interruptions=sum(entry["Status"] == "Interrupted" for entry in transitions),
        model_uri=description.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
    )


def cost_of_refit(instances: TrainingInstances) -> str:
    """What the third fit of a job costs and how it is left out, for the log before the job."""
    hour = instances.usd_per_hour
    price = f", at {hour * instances.count:.2f} USD an hour for {instances.name}" if hour else ""
    return (
        f"a third fit, on all positives, makes the model that is hosted: about a third of the job's time{price}; "
        'train_overrides {"refit": false} leaves it out'
    )


def _price(aws: Aws, settings: JobSettings) -> float | None:
    """Price of an instance, USD per hour; None if it is not known."""
    return settings.price_per_hour or training_price(aws, settings.instance_type)


def _cost(aws: Aws, settings: JobSettings, billable_seconds: float) -> float | None:
    """Cost of all instances without storage and transfer, USD; None if no price is known."""
    price = _price(aws, settings)
    return billable_seconds * settings.instance_count * price / _SECONDS_PER_HOUR if price else None
