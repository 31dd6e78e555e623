from __future__ import annotations

import pytest
from pydantic import ValidationError

from ncf.training.hyperparameters import Hyperparameters


def test_lists_arrive_as_floats_from_kfp_and_as_text_from_sagemaker() -> None:
    expected = Hyperparameters(tower=[64, 32])
    assert Hyperparameters(tower=[64.0, 32.0]) == expected
    assert Hyperparameters(tower="[64.0, 32.0]") == expected
    assert Hyperparameters(tower="64,32", epochs="7", learning_rate="0.01", model="gmf").tower == [64, 32]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"tower": [64]}, "at least two widths"),
        ({"tower": [63, 32]}, "even"),
        ({"tower": "wide"}, "expected a list such as"),
        ({"tower": [64.5, 32]}, "tower"),
        ({"epochs": 0}, "epochs"),
        ({"dropout": 1}, "dropout"),
        ({"model": "svd"}, "model"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"factor": 8}, "factor"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Hyperparameters.model_validate(values)


def test_every_hyperparameter_is_described() -> None:
    assert all(field.description for field in Hyperparameters.model_fields.values())


@pytest.mark.parametrize(("model", "samples"), [("neumf", 5), ("history", 1)])
def test_the_batch_grows_with_the_data_between_bounds(model: str, samples: int) -> None:
    settings = Hyperparameters(model=model, negatives=4)
    sizes = [samples * settings.positives_per_batch(n) for n in (10, 100_000, 1_000_000, 10**9)]
    assert sizes == sorted(sizes)
    assert sizes[0] == pytest.approx(1024, abs=5)
    assert sizes[-1] == pytest.approx(1 << 16, abs=5)
    assert samples * Hyperparameters(model=model, negatives=4, batch_size=500).positives_per_batch(10**6) == 500


@pytest.mark.parametrize("model", ["neumf", "history"])
def test_the_learning_rate_grows_with_the_root_of_the_batch(model: str) -> None:
    settings = Hyperparameters(model=model)
    assert settings.scaled_learning_rate(4000) == pytest.approx(2 * settings.scaled_learning_rate(1000))
