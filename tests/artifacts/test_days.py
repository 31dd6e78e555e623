"""The days of interactions, from raw times to the model folder; they are optional everywhere."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from random_model import random_model

from ncf.artifacts import manifest
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.model_folder import ModelFolder
from ncf.data.preparation import Settings, prepare
from ncf.errors import InputError

DAY = 24 * 3600
ROWS = [
    (f"u{user}", f"i{(user * 3 + step) % 7}", (user * 100 + step * 10) * DAY + 5)
    for user in range(5)
    for step in range(5)
]


def prepared(tmp_path: Path, timed: bool = True, **settings: object) -> Dataset:
    path = tmp_path / "interactions.csv"
    lines = ["user,item,timestamp"] if timed else ["user,item"]
    path.write_text("\n".join(lines + [",".join(map(str, row[: 2 + timed])) for row in ROWS]))
    made = prepare(path, Settings(**settings)).dataset  # type: ignore[arg-type]
    made.save(tmp_path / "dataset", {}, {})
    return Dataset.load(tmp_path / "dataset")


@pytest.mark.parametrize("settings", [{}, {"split": "temporal", "test_after": str(240 * DAY)}])
def test_each_positive_has_its_day(tmp_path: Path, settings: dict[str, str]) -> None:
    dataset = prepared(tmp_path, **settings)
    positives, days = dataset.positives(), dataset.positive_days()
    assert days is not None
    pairs = zip(positives.users().tolist(), positives.items.tolist(), strict=True)
    found = {
        (dataset.user_ids[user], dataset.item_ids[item]): day
        for (user, item), day in zip(pairs, days.tolist(), strict=True)
    }
    expected = {(user, item): time // DAY for user, item, time in ROWS}
    assert found == {pair: expected[pair] for pair in found}
    assert len(found) == len(expected), "those of users and items that came after training too"
    for first, last in zip(positives.offsets[:-1].tolist(), positives.offsets[1:].tolist(), strict=True):
        assert days[first:last].tolist() == sorted(days[first:last].tolist()), "a user's positives are in order of time"


def test_interactions_without_times_have_no_days(tmp_path: Path) -> None:
    dataset = prepared(tmp_path, timed=False)
    assert dataset.positive_days() is None
    assert not (tmp_path / "dataset" / "days.npy").exists()


def test_days_before_1970_round_down(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("user,item,timestamp\nu,a,1969-12-31T23:00:00\nu,b,1970-01-01\nu,c,1970-01-02")
    days = prepare(tmp_path / "i.csv", Settings()).dataset.positive_days()
    assert days is not None
    assert days.tolist() == [-1, 0, 1]


def test_a_dataset_with_too_few_days_is_refused(tmp_path: Path) -> None:
    dataset = prepared(tmp_path)
    folder = tmp_path / "short"
    assert dataset.days is not None
    dataclasses.replace(dataset, days=dataset.days[1:]).save(folder, {}, {})
    with pytest.raises(InputError, match=r"days\.npy: 24 days for 25 positives"):
        Dataset.load(folder)


def test_a_model_keeps_its_days(tmp_path: Path) -> None:
    model = random_model()
    days = np.arange(len(model.seen.items), dtype=np.int32)
    dataclasses.replace(model, seen_days=days).save(tmp_path / "with", {}, {})
    found = ModelFolder.load(tmp_path / "with").seen_days
    assert found is not None
    assert found.tolist() == days.tolist()
    model.save(tmp_path / "without", {}, {})
    assert ModelFolder.load(tmp_path / "without").seen_days is None


def test_a_model_with_days_of_another_number_is_refused(tmp_path: Path) -> None:
    model = random_model()
    model.save(tmp_path / "model", {}, {})
    np.save(tmp_path / "model" / "seen_days.npy", np.zeros(3, np.int32))
    content = json.loads((tmp_path / "model" / "manifest.json").read_text())
    (tmp_path / "model" / "manifest.json").unlink()
    manifest.write(tmp_path / "model", "model", content["counts"], {}, {})
    with pytest.raises(InputError, match=r"seen_days\.npy: 3 days for 60 seen items"):
        ModelFolder.load(tmp_path / "model")
