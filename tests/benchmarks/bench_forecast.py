"""The forecast against measurements: seconds of all cores and peak memory of each stage, at sizes that it was not fitted on.

``make bench-forecast`` measures the points of ``FITTED`` and ``HELD_OUT``, and the real data in the folder ``DATA``, writes
them to ``forecast.json`` and the coefficients to ``ncf/forecast``. Each process has one thread, so that seconds of all
cores are comparable. The coefficients are 0 or more and make the sum of squared relative errors least.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from ncf.forecast import forecast, terms
from ncf.forecast.coefficients import FILE, Coefficients, Cost, Kind
from ncf.forecast.forecast import StageForecast
from ncf.forecast.size import DataSize
from ncf.stages.negative_sampling import NegativeSampling
from ncf.training.hyperparameters import Hyperparameters
from ncf.training.machine import processor
from tests.benchmarks.forecast_points import Data, measured

POINTS = Path(__file__).with_name("forecast.json")
_CANDIDATES = NegativeSampling.model_fields["candidates"].default
_GMF, _NEUMF = {"model": "gmf"}, {"model": "neumf"}
_ONE, _TWO, _FOUR = {"epochs": 1}, {"epochs": 2}, {"epochs": 4}
FITTED = (
    Data("tiny", 60_000, 600, 300, is_text=True, fits=(_ONE, _ONE | _GMF, _ONE | _NEUMF)),
    Data("few", 100_000, 2_000, 1_000, is_text=True, fits=(_FOUR, _FOUR | _NEUMF)),
    Data("wide", 150_000, 1_000, 5_000, is_text=True, fits=(_TWO,)),
    Data("users", 200_000, 20_000, 1_000, is_text=True, fits=(_TWO, _FOUR | _GMF)),
    Data("base", 200_000, 3_000, 2_000, fits=(_ONE, _FOUR | _NEUMF)),
    Data("items", 150_000, 4_000, 7_000, fits=(_ONE,)),
    Data("long", 1_000_000, 20_000, 500, fits=(_ONE, _ONE | _GMF)),
    Data("sparse", 100_000, 6_000, 10_500, fits=(_ONE, _ONE | _NEUMF)),
)
"""Numbers of rows, users and items that vary apart from each other. The generator drops repeated pairs."""
_DEFAULT: Mapping[str, Any] = {}
REAL: Mapping[str, Mapping[str, Any]] = {"ml-latest-small": _DEFAULT, "games": _ONE}
"""Folders of real data in ``DATA``, and the hyperparameters of their fits."""
HELD_OUT = (
    Data("generated-long", 500_000, 15_000, 1_200, fits=(_ONE,)),
    Data("generated-wide", 200_000, 6_000, 3_000, fits=(_ONE, _NEUMF)),
)


def run() -> list[dict[str, Any]]:
    """Measure, write both files, and compare."""
    folder = Path(os.environ.get("DATA") or ".")
    if missing := [name for name in REAL if not (folder / name).is_dir()]:
        sys.exit(f"DATA is '{folder}', which has no {' and no '.join(missing)}; expected a folder with both data sets")
    real = [Data(name, path=str(folder / name), fits=(fit,)) for name, fit in REAL.items()]
    points = {
        "machine": processor(),
        "fitted": [_measured(data) for data in FITTED],
        "held_out": [_measured(data) for data in (*HELD_OUT, *real)],
    }
    POINTS.write_text(json.dumps(points, indent=1) + "\n")
    FILE.write_text(fitted(points).model_dump_json(indent=1) + "\n")
    return list(rows(points["held_out"]))


def _measured(data: Data) -> dict[str, Any]:
    print(data.name, file=sys.stderr, flush=True)
    return measured(data)


def size_of_point(point: Mapping[str, Any]) -> DataSize:
    """The size of a point's data."""
    given = point["size"]
    return DataSize(**{**given, "fitted": tuple(given["fitted"]), "in_epoch": tuple(given["in_epoch"])})


def fitted(points: Mapping[str, Any]) -> Coefficients:
    """The coefficients of the fitted points."""
    work: dict[Kind, list[tuple[terms.Work, Mapping[str, float]]]] = {}
    sizes = [size_of_point(point) for point in points["fitted"]]
    for point, size in zip(points["fitted"], sizes):
        for kind, of_stage, took in _stages(point, size):
            work.setdefault(kind, []).append((of_stage, took))
    models = sorted({Hyperparameters(**fit["settings"]).model for point in points["fitted"] for fit in point["fits"]})
    return Coefficients(
        machine=points["machine"],
        measured={
            name: (min(getattr(size, name) for size in sizes), max(getattr(size, name) for size in sizes))
            for name in ("rows", "users", "items")
        },
        models=models,
        costs={
            kind: Cost(
                seconds=_solved(
                    [of_stage.seconds for of_stage, _ in found], [took["cpu_seconds"] for _, took in found]
                ),
                bytes=_solved([of_stage.bytes for of_stage, _ in found], [took["peak_bytes"] for _, took in found]),
            )
            for kind, found in work.items()
        },
    )


def _stages(point: Mapping[str, Any], size: DataSize) -> Iterator[tuple[Kind, terms.Work, Mapping[str, float]]]:
    """Kind, work and measurement of each stage of a point."""
    stages = point["stages"]
    yield "preprocess", terms.preprocess(size), stages["preprocess"]
    yield "negative_sampling", terms.negative_sampling(size, _CANDIDATES), stages["negative_sampling"]
    yield "evaluate", terms.evaluate(size), stages["evaluate"]
    for fit in point["fits"]:
        settings = Hyperparameters(**fit["settings"])
        kind: Kind = "fit_history" if settings.model == "history" else "fit_pairwise"
        yield kind, terms.fit(size, settings, tuple(fit["epochs"])), fit


def _solved(amounts: Sequence[terms.Amounts], values: Sequence[float]) -> dict[str, float]:
    """Coefficients, 0 or more, with the least squared relative error."""
    names = list(amounts[0])
    matrix = np.array([[of_one[name] for name in names] for of_one in amounts]) / np.array(values)[:, None]
    scale = np.maximum(matrix.max(axis=0), np.finfo(float).tiny)
    found, _ = nnls(matrix / scale, np.ones(len(values)))
    return {name: float(f"{value:.6g}") for name, value in zip(names, found / scale)}


def rows(points: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each stage of each point: what was measured and what is forecast for the epochs that it had."""
    for point in points:
        for stage, took, found in compared(point):
            yield {
                "data": point["name"],
                "stage": stage,
                "seconds": took["cpu_seconds"],
                "forecast": found.core_seconds,
                "ratio": found.core_seconds / took["cpu_seconds"],
                "peak GB": took["peak_bytes"] / 1e9,
                "forecast GB": found.peak_bytes / 1e9,
                "memory ratio": found.peak_bytes / took["peak_bytes"],
            }


def compared(point: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float], StageForecast]]:
    """Stage, measurement and forecast of each stage of a point."""
    size, stages = size_of_point(point), point["stages"]
    made: dict[str, Callable[[], StageForecast]] = {
        "preprocess": lambda: forecast.preprocess(size),
        "negative_sampling": lambda: forecast.negative_sampling(size, _CANDIDATES),
        "evaluate": lambda: forecast.evaluate(size),
    }
    for name, make in made.items():
        yield name, stages[name], make()
    for fit in point["fits"]:
        settings = Hyperparameters(**fit["settings"])
        yield f"fit {settings.model}", fit, forecast.fit_of_epochs(size, settings, tuple(fit["epochs"]))
