"""The weights of positives in the dataset folder; they are optional."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ncf.artifacts.dataset import Dataset
from ncf.data.preparation import Settings, prepare
from ncf.errors import InputError


def prepared(folder: Path, **settings: object) -> Dataset:
    rows = [(user, (user * 3 + step) % 7, 1 + (user + step) % 3, step) for user in range(5) for step in range(5)]
    lines = [f"u{user},i{item},w{weight},{time}" for user, item, weight, time in rows]
    (folder / "a.csv").write_text("\n".join(["user,item,event_type,ts", *lines]))
    return prepare(folder / "a.csv", Settings(**settings)).dataset  # type: ignore[arg-type]


def test_each_positive_has_its_weight(tmp_path: Path) -> None:
    made = prepared(tmp_path, event_weights={"w1": 1, "w2": 2, "w3": 3})
    made.save(tmp_path / "dataset", {}, {})
    data = Dataset.load(tmp_path / "dataset")
    weights = data.positive_weights()
    assert weights is not None
    assert weights.dtype == np.float32
    assert data.weights is not None
    assert len(data.weights) == len(weights) == 25
    steps = (data.positives().items - 3 * data.positives().users()) % 7
    assert weights.tolist() == (1 + (data.positives().users() + steps) % 3).tolist()


def test_without_event_types_there_are_no_weights(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    assert data.positive_weights() is None
    data.save(tmp_path / "dataset", {}, {})
    assert not (tmp_path / "dataset" / "weights.npy").exists()
    assert Dataset.load(tmp_path / "dataset").weights is None


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.ones(24, np.float32), "24 weights for 25 positives"),
        (np.ones(25), "float64 .*; expected float32"),
        *(
            (
                np.where(np.arange(25) == 7, bad, 1).astype(np.float32),
                rf"weight 7 is {bad}; expected finite numbers above 0",
            )
            for bad in (0.0, -1.0, np.nan, np.inf)
        ),
    ],
)
def test_damaged_weights_are_refused(weights: np.ndarray, said: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    dataclasses.replace(prepared(tmp_path), weights=weights).save(tmp_path / "dataset", {}, {})
    with pytest.raises(InputError, match=rf"weights\.npy: {said}"):
        Dataset.load(tmp_path / "dataset")
