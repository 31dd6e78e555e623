"""Forecast of a training job, before it is paid for."""

from __future__ import annotations

from ncf.aws.session import Aws
from ncf.forecast.forecast import fit
from ncf.forecast.size import DataSize
from ncf.forecast.text import Training
from ncf.sagemaker.hosting.champion_settings import ChampionSettings
from ncf.sagemaker.jobs.pricing import training_instances
from ncf.sagemaker.training.measured_speed import measured_speed
from ncf.sagemaker.training.settings import JobSettings
from ncf.training.hyperparameters import Hyperparameters


def training_forecast(
    aws: Aws, size: DataSize, chosen: Hyperparameters, settings: JobSettings, earlier: ChampionSettings
) -> Training:
    """Forecast of a job, by the measured speed of the champion's job where that had the same instances and settings.

    Args:
        aws: clients to call.
        size: of the data.
        chosen: hyperparameters.
        settings: of the job.
        earlier: where the champion is looked for.
    """
    instances = training_instances(aws, settings.instance_type, settings.instance_count, settings.price_per_hour)
    speed = measured_speed(aws, earlier, settings, chosen)
    stage = fit(size, chosen, speed.samples_per_second)
    return Training(chosen, stage, instances, settings.max_run_time, speed.name)
