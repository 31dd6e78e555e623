"""Lines of a forecast: minutes, memory, price, and what is doubtful."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ncf.forecast import text
from ncf.forecast.coefficients import coefficients
from ncf.forecast.forecast import StageForecast
from ncf.forecast.machines import Machine, TrainingInstances, machine_of
from ncf.stage.pod import Pod
from ncf.training.hyperparameters import Hyperparameters
from tests.forecast.test_forecast import SIZE

POD = machine_of(Pod(cpu="2", memory="8G"))
STAGE = StageForecast(serial_seconds=60, parallel_seconds=240, peak_bytes=2e9)
INSTANCES = TrainingInstances("ml.m5.xlarge", 1, Machine("ml.m5.xlarge", 4, 16e9), usd_per_hour=0.3)
TRAINING = text.Training(Hyperparameters(), replace(STAGE, least=0.5), INSTANCES, max_run_time=3600)


def notes(training: text.Training, pods: dict[str, tuple[StageForecast, Machine]] | None = None) -> str:
    return "\n".join(text.notes(SIZE, training, pods or {}))


def test_counts() -> None:
    assert text.data_line(replace(SIZE, rows=400_000)) == (
        "400,000 rows; after the filters 300,000 positives of 5,000 users and 3,000 items"
    )


def test_minutes_are_those_of_the_cores() -> None:
    assert text.stage_line("evaluate", STAGE, POD) == "evaluate: 3.0 min on a pod of 2 CPU; memory 2.0 of 8 GB"
    assert text.stage_line("x", STAGE, Machine("one core", 1)) == "x: 5.0 min on one core; memory 2.0 GB"
    short = StageForecast(1, 1, 1e6)
    assert text.stage_line("x", short, POD).startswith("x: less than 0.1 min on")


def test_training_has_a_range_of_minutes_and_the_price_of_the_upper_one() -> None:
    assert text.training_line(TRAINING) == (
        "train: 1.0 to 2.0 min on 1 x ml.m5.xlarge, 4 cores; memory 2.0 of 16 GB; 0.01 USD at most, at 0.30 USD an hour"
    )
    four = replace(TRAINING, instances=replace(INSTANCES, count=4))
    assert "2.0 min on 4 x ml.m5.xlarge" in text.training_line(four)
    assert "0.04 USD at most, at 1.20 USD an hour" in text.training_line(four)


def test_without_a_price_and_cores_that_is_said() -> None:
    unknown = replace(INSTANCES, machine=Machine("ml.m5.metal", 0), usd_per_hour=None)
    line = text.training_line(replace(TRAINING, instances=unknown))
    assert "2.5 to 5.0 min on 1 x ml.m5.xlarge, cores not known, so as on one; memory 2.0 GB" in line
    assert line.endswith("no price: AWS's price list has none, or cannot be read")


def test_nothing_is_doubtful_inside_of_the_measurements_but_what_is_left_out() -> None:
    core, start = notes(replace(TRAINING, stage=STAGE)).splitlines()
    assert core == f"measured on one core ({coefficients().machine}); how several cores share the work is computed"
    assert start == "SageMaker's start, and the transfer of image and data, are not in the minutes"


def test_two_numbers_of_minutes_are_explained() -> None:
    assert "the lower one is that of the earliest stop, the upper one that of all epochs" in notes(TRAINING)


def test_a_gpu_and_several_instances_were_not_measured() -> None:
    gpu = replace(TRAINING, instances=replace(INSTANCES, instance_type="ml.g5.xlarge", count=2))
    found = notes(gpu)
    assert "extrapolated: no GPU was measured. The minutes of train are those of the cores of ml.g5.xlarge" in found
    assert "extrapolated: several instances were not measured" in found
    measured = notes(replace(gpu, speed_of="the model of endpoint shop"))
    assert "with the speed of the model of endpoint shop, measured on the same instances" in measured
    assert "extrapolated" not in measured


def test_sizes_that_were_not_measured_are_extrapolated() -> None:
    large = replace(SIZE, rows=10**9)
    assert "extrapolated: 1,000,000,000 rows" in "\n".join(text.notes(large, TRAINING, {}))
    assert "extrapolated: 1,000,000,000 rows" in "\n".join(text.notes_on_data(large, Hyperparameters(), {}))


def test_what_does_not_fit_is_said() -> None:
    large = replace(STAGE, peak_bytes=20e9)
    found = notes(replace(TRAINING, stage=large, max_run_time=100), {"evaluate": (large, POD)})
    assert "evaluate needs 20.0 GB of memory, but a pod of 2 CPU has 8.0 GB: give its pod more memory" in found
    assert "train needs 20.0 GB of memory, but ml.m5.xlarge has 16.0 GB: choose a larger instance type" in found
    assert "may take longer than 'max_run_time', 100 s" in found
    unknown = replace(INSTANCES, machine=Machine("ml.m5.xlarge", 4))
    assert "needs" not in notes(replace(TRAINING, stage=large, instances=unknown))


@pytest.mark.parametrize(("memory", "size"), [("8G", 8e9), ("512M", 512e6), ("2Gi", 2 * 2**30)])
def test_memory_of_pods_is_read_as_kubernetes_writes_it(memory: str, size: float) -> None:
    assert Pod(memory=memory).memory_bytes == size
