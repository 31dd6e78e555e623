"""The coefficients of the forecast are those of the measurements, and forecast what they were not fitted on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ncf.forecast import terms
from ncf.forecast.coefficients import Coefficients, coefficients
from ncf.forecast.forecast import extrapolated
from ncf.training.hyperparameters import Hyperparameters
from tests.benchmarks import bench_forecast
from tests.benchmarks.bench_forecast import FITTED, HELD_OUT, POINTS, compared, fitted, size_of_point

MEASURED = json.loads(POINTS.read_text())
_WITHIN = 0.25


def test_the_coefficients_are_those_of_the_committed_measurements() -> None:
    fresh, found = fitted(MEASURED), coefficients()
    assert (found.machine, found.measured, found.models) == (fresh.machine, fresh.measured, fresh.models)
    assert found.costs.keys() == fresh.costs.keys()
    for kind, cost in fresh.costs.items():
        assert found.costs[kind].seconds == pytest.approx(cost.seconds, rel=1e-3, abs=1e-15), kind
        assert found.costs[kind].bytes == pytest.approx(cost.bytes, rel=1e-3, abs=1e-15), kind


def test_each_amount_of_work_has_a_coefficient() -> None:
    size = size_of_point(MEASURED["fitted"][0])
    made = {
        "preprocess": terms.preprocess(size),
        "negative_sampling": terms.negative_sampling(size, 99),
        "fit_history": terms.fit(size, Hyperparameters(), (1, 1, 1)),
        "fit_pairwise": terms.fit(size, Hyperparameters(model="neumf"), (1, 1, 1)),
        "evaluate": terms.evaluate(size),
    }
    known: Coefficients = coefficients()
    assert known.costs.keys() == made.keys()
    for kind, work in made.items():
        assert known.costs[kind].seconds.keys() == work.seconds.keys(), kind  # type: ignore[index]
        assert known.costs[kind].bytes.keys() == work.bytes.keys(), kind  # type: ignore[index]


def test_the_measurements_are_of_the_points_that_the_benchmark_names() -> None:
    assert [point["name"] for point in MEASURED["fitted"]] == [data.name for data in FITTED]
    fits = [[fit["settings"] for fit in point["fits"]] for point in MEASURED["fitted"]]
    assert fits == [[dict(settings) for settings in data.fits] for data in FITTED]
    names = [point["name"] for point in MEASURED["held_out"]]
    assert sorted(names) == sorted([*(data.name for data in HELD_OUT), *bench_forecast.REAL])
    assert not set(names) & {data.name for data in FITTED}


INSIDE, OUTSIDE = (
    [
        point
        for point in MEASURED["held_out"]
        if any(extrapolated(size_of_point(point), Hyperparameters())) == is_outside
    ]
    for is_outside in (False, True)
)
"""Held-out points by whether they are within the sizes that the coefficients were measured at."""


def test_three_held_out_sizes_are_within_the_measured_ones_and_one_of_them_is_real() -> None:
    names = {point["name"] for point in INSIDE}
    assert len(names) >= 3
    assert names & bench_forecast.REAL.keys()


@pytest.mark.parametrize("point", INSIDE, ids=lambda point: point["name"])
def test_sizes_that_it_was_not_fitted_on_are_forecast(point: dict[str, Any]) -> None:
    for stage, took, found in compared(point):
        assert abs(found.core_seconds / took["cpu_seconds"] - 1) <= _WITHIN, stage
        assert abs(found.peak_bytes / took["peak_bytes"] - 1) <= _WITHIN, stage


@pytest.mark.parametrize("point", OUTSIDE, ids=lambda point: point["name"])
def test_beyond_the_measured_sizes_it_says_so_and_its_seconds_hold(point: dict[str, Any]) -> None:
    assert list(extrapolated(size_of_point(point), Hyperparameters()))
    for stage, took, found in compared(point):
        assert abs(found.core_seconds / took["cpu_seconds"] - 1) <= _WITHIN, stage
        assert found.peak_bytes >= (1 - _WITHIN) * took["peak_bytes"], stage


@pytest.mark.parametrize("point", MEASURED["held_out"], ids=lambda point: point["name"])
def test_the_whole_run_is_forecast(point: dict[str, Any]) -> None:
    stages = list(compared(point))
    measured = sum(took["cpu_seconds"] for _, took, _ in stages)
    assert abs(sum(found.core_seconds for *_, found in stages) / measured - 1) <= _WITHIN
