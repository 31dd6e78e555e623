"""What the third fit of this project's training job costs."""

from __future__ import annotations

from ncf.forecast.machines import TrainingInstances


def cost_of_refit(instances: TrainingInstances) -> str:
    """What the third fit of a job costs and how it is left out, for the log before the job."""
    hour = instances.usd_per_hour
    price = f", at {hour * instances.count:.2f} USD an hour for {instances.name}" if hour else ""
    return (
        f"a third fit, on all positives, makes the model that is hosted: about a third of the job's time{price}; "
        'train_overrides {"refit": false} leaves it out'
    )
