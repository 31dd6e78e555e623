"""Forecast of a run for ``ncf doctor``: its stages, the training job and its price."""

from __future__ import annotations

from collections.abc import Iterator

from ncf.aws.session import Aws
from ncf.forecast import text
from ncf.forecast.forecast import fit
from ncf.forecast.pods import pod_forecasts
from ncf.forecast.size import DataSize
from ncf.sagemaker.jobs.pricing import training_instances
from ncf.training.hyperparameters import Hyperparameters


def run_forecast(
    aws: Aws, size: DataSize, settings: Hyperparameters, instance_type: str, instance_count: int, max_run_time: int
) -> Iterator[str]:
    """Lines of the forecast: each stage, the training job, what is doubtful.

    Args:
        aws: clients to call, for the price list.
        size: of the data.
        settings: hyperparameters.
        instance_type: of the training job.
        instance_count: of the training job.
        max_run_time: seconds after which SageMaker stops it.
    """
    pods = pod_forecasts(size)
    instances = training_instances(aws, instance_type, instance_count)
    training = text.Training(settings, fit(size, settings), instances, max_run_time)
    for name, (stage, machine) in pods.items():
        yield text.stage_line(name, stage, machine)
        if name == text.BEFORE_TRAIN:
            yield text.training_line(training)
    yield from text.notes(size, training, pods)
