"""Forecast of the stages that run in pods of their own."""

from __future__ import annotations

from collections.abc import Mapping

from ncf.forecast import forecast
from ncf.forecast.forecast import StageForecast
from ncf.forecast.machines import Machine, machine_of
from ncf.forecast.size import DataSize
from ncf.stage.registry import load_stage


def pod_forecasts(size: DataSize) -> Mapping[str, tuple[StageForecast, Machine]]:
    """Forecast and pod of preprocess, negative-sampling and evaluate with their default settings, by stage."""
    candidates: int = load_stage("negative_sampling").model_fields["candidates"].default
    stages = {
        "preprocess": forecast.preprocess(size),
        "negative-sampling": forecast.negative_sampling(size, candidates),
        "evaluate": forecast.evaluate(size),
    }
    return {name: (stage, machine_of(load_stage(name).pod)) for name, stage in stages.items()}
