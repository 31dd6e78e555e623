"""The forecast: growth with data and settings, cores, early stopping, what is said to be extrapolated."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ncf.forecast import forecast, terms
from ncf.forecast.coefficients import coefficients
from ncf.forecast.forecast import StageForecast, extrapolated, fit, fit_of_epochs
from ncf.forecast.size import DataSize
from ncf.training.hyperparameters import Hyperparameters

SIZE = DataSize(
    rows=300_000,
    users=5_000,
    items=3_000,
    fitted=(290_000, 295_000, 300_000),
    in_epoch=(240_000, 245_000, 250_000),
    pairs=3e7,
)


def scaled(size: DataSize, factor: int, *names: str) -> DataSize:
    """A size with some counts times a factor."""
    values = {name: getattr(size, name) for name in names}
    return replace(
        size,
        **{
            name: tuple(factor * part for part in value) if isinstance(value, tuple) else factor * value
            for name, value in values.items()
        },
    )


GROWTH = {
    "interactions": ("rows", "fitted", "in_epoch", "pairs"),
    "users": ("users",),
    "all": ("rows", "users", "items", "fitted", "in_epoch", "pairs"),
}


def all_stages(size: DataSize) -> dict[str, StageForecast]:
    return {
        "preprocess": forecast.preprocess(size),
        "negative_sampling": forecast.negative_sampling(size, 99),
        "history": fit(size, Hyperparameters()),
        "neumf": fit(size, Hyperparameters(model="neumf")),
        "evaluate": forecast.evaluate(size),
    }


@pytest.mark.parametrize("names", GROWTH.values(), ids=GROWTH)
def test_no_stage_takes_less_with_more_data(names: tuple[str, ...]) -> None:
    small, large = all_stages(SIZE), all_stages(scaled(SIZE, 3, *names))
    for stage, before in small.items():
        after = large[stage]
        assert after.core_seconds >= before.core_seconds, stage
        assert after.peak_bytes >= before.peak_bytes, stage
    if names == GROWTH["all"]:
        assert all(large[stage].core_seconds > small[stage].core_seconds for stage in small)


def test_no_coefficient_is_negative() -> None:
    for kind, cost in coefficients().costs.items():
        for name, value in {**cost.seconds, **cost.bytes}.items():
            assert value >= 0, (kind, name)


@pytest.mark.parametrize("model", ["history", "gmf", "mlp", "neumf"])
def test_each_setting_that_makes_work_makes_the_fit_longer(model: str) -> None:
    base = fit(SIZE, Hyperparameters(model=model, epochs=4, patience=0))
    assert fit(SIZE, Hyperparameters(model=model, epochs=8, patience=0)).core_seconds > base.core_seconds
    assert fit(SIZE, Hyperparameters(model=model, epochs=4, patience=0, refit=False)).core_seconds < base.core_seconds
    wider = Hyperparameters(model=model, epochs=4, patience=0, factors=128, tower=[128, 64, 32])
    assert fit(SIZE, wider).core_seconds > base.core_seconds


def test_pre_training_adds_the_fits_of_both_parts() -> None:
    plain, pretrained = (fit(SIZE, Hyperparameters(model="neumf", pretrain=given)) for given in (False, True))
    parts = [fit(SIZE, Hyperparameters(model=part)) for part in ("gmf", "mlp")]
    assert pretrained.core_seconds == pytest.approx(plain.core_seconds + sum(part.core_seconds for part in parts))


def test_early_stopping_gives_a_lower_number() -> None:
    settings = Hyperparameters(epochs=8, patience=4)
    found = fit(SIZE, settings)
    assert found.core_seconds == pytest.approx(fit_of_epochs(SIZE, settings, (8, 8, 8)).core_seconds)
    assert found.core_seconds * found.least == pytest.approx(fit_of_epochs(SIZE, settings, (5, 1, 1)).core_seconds)
    assert fit(SIZE, Hyperparameters(patience=0)).least == 1


def test_cores_share_the_products_alone() -> None:
    found = StageForecast(serial_seconds=10, parallel_seconds=40, peak_bytes=1)
    assert [found.seconds(cores) for cores in (0, 1, 4)] == [50, 50, 20]
    history = fit(SIZE, Hyperparameters())
    assert 0 < history.parallel_seconds < history.core_seconds
    assert forecast.preprocess(SIZE).parallel_seconds == 0


def test_a_measured_speed_replaces_the_steps_and_keeps_the_rest() -> None:
    settings, epochs = Hyperparameters(), (8, 8, 8)
    samples = terms.samples(SIZE, settings, epochs)
    assert samples == 8 * sum(SIZE.in_epoch)
    fast, slow = (fit_of_epochs(SIZE, settings, epochs, speed) for speed in (1e6, 1e5))
    assert slow.core_seconds - fast.core_seconds == pytest.approx(samples / 1e5 - samples / 1e6)
    assert fast.core_seconds > samples / 1e6, "start, validation and files are not in the speed"


def test_sizes_inside_of_the_measurements_are_not_extrapolated() -> None:
    assert list(extrapolated(SIZE, Hyperparameters())) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rows", 100_000_000, "100,000,000 rows are more than .*, the largest number that was measured"),
        ("users", 9_000_000, "9,000,000 users are more than"),
        ("items", 3, "3 items are fewer than .*, the least number that was measured"),
    ],
)
def test_sizes_outside_of_the_measurements_are_named(name: str, value: int, words: str) -> None:
    (found,) = extrapolated(replace(SIZE, **{name: value}), Hyperparameters())
    assert re.search(words, found)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"factors": 128}, ["'factors' was measured with 64 only"]),
        ({"tower": [8, 4]}, []),
        ({"model": "neumf", "tower": [8, 4]}, ["'tower' was measured with [64, 32, 16] only"]),
        ({"epochs": 20, "patience": 0, "learning_rate": 0.1}, []),
    ],
)
def test_settings_that_were_not_measured_are_named(settings: dict[str, Any], words: list[str]) -> None:
    assert list(extrapolated(SIZE, Hyperparameters(**settings))) == words


def test_a_model_that_was_not_measured_is_named() -> None:
    (found,) = extrapolated(SIZE, Hyperparameters(model="mlp"))
    assert found == "the model 'mlp' was not measured; it is derived from gmf, history, neumf"
