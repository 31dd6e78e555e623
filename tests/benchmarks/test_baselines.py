"""The benchmark of the baselines: ALS beside them where its library is, and a reason for what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.samples import Samples
from tests.benchmarks import bench_baselines


def samples() -> Samples:
    """Users of three tastes among 30 items."""
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.choice(10, 8, replace=False) * 3 + user % 3 for user in range(90)]).astype(np.int32)
    users = np.arange(90, dtype=np.int32)
    train = ItemsByUser.of(np.repeat(users, 6), drawn[:, :6].ravel(), 90)
    for array in (train.offsets, train.items):
        array.flags.writeable = False  # as those of a folder, which are memory-mapped
    validation, test = (np.column_stack([users, drawn[:, column]]) for column in (6, 7))
    return Samples(90, 30, validation, validation[:, :0], test, test[:, :0], train)


def test_all_baselines_beside_als(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_baselines, "_GRIDS", {"alpha": (1.0, 2.0), "factors": (8, 16)})
    monkeypatch.setattr(bench_baselines, "_START", {"alpha": 1.0, "regularization": 0.1, "factors": 8})
    rows = bench_baselines.of_samples(samples())
    assert [row["baseline"] for row in rows] == ["popularity", "item-kNN", "EASE", "ALS"]
    popularity, *others = (row["ndcg_at_10"] for row in rows)
    assert min(others) > popularity + 0.1, "they know the tastes"
    assert rows[-1]["settings"].startswith("alpha ")


def test_without_the_library_als_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_baselines, "find_spec", lambda _: None)
    rows = bench_baselines.of_samples(samples())
    assert [row["baseline"] for row in rows] == ["popularity", "item-kNN", "EASE", "ALS"]
    assert rows[-1]["settings"].startswith("skipped: the library implicit is not installed")
    assert {tuple(row) for row in rows} == {tuple(rows[0])}, "one table"


def test_a_data_set_that_is_not_there_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.setenv("DATASETS", "games")
    rows: list[dict[str, Any]] = bench_baselines.run()
    (row,) = rows
    assert row["data"] == "games"
    assert row["settings"] == f"skipped: {tmp_path / 'games'} does not exist"
