"""What the third fit of this project's training job costs."""

from __future__ import annotations

from ncf.aws.session import Aws
from ncf.sagemaker.jobs.figures import hourly_price
from ncf.sagemaker.training.settings import JobSettings


def cost_of_refit(aws: Aws, settings: JobSettings) -> str:
    """What the third fit of a job costs and how it is left out, for the log before the job."""
    hour = hourly_price(aws, settings, "Training")
    types = f"{settings.instance_count} x {settings.instance_type}"
    price = f", at {hour:.2f} USD an hour for {types}" if hour else ""
    return (
        f"a third fit, on all positives, makes the model that is hosted: about a third of the job's time{price}; "
        'train_overrides {"refit": false} leaves it out'
    )
