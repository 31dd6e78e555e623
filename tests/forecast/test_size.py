"""Counts of a data set, in memory and by its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ncf.artifacts.dataset import Dataset
from ncf.errors import InputError
from ncf.forecast import size
from ncf.training.hyperparameters import MOST_POSITIVES


def test_counts_are_those_of_the_arrays(make_dataset: Callable[..., Path]) -> None:
    folder = make_dataset()
    dataset = Dataset.load(folder)
    found = size.size_of(dataset, rows=1_000)
    counts = dataset.train.counts()
    assert (found.rows, found.users, found.items) == (1_000, dataset.n_users, dataset.n_items)
    train, validation, test = len(dataset.train.items), len(dataset.validation), len(dataset.test)
    assert found.fitted == (train, train + validation, train + validation + test)
    assert found.positives == train + validation + test
    assert found.in_epoch == found.fitted, "no user has more than an epoch takes"
    assert found.pairs == (counts**2).sum()


def test_the_folder_gives_the_same_by_two_of_its_files(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_dataset()
    some = tmp_path / "some"
    some.mkdir()
    for name in size.names_to_read(path.name for path in folder.iterdir()):
        (some / name).write_bytes((folder / name).read_bytes())
    assert len(list(some.iterdir())) == 2
    found = size.size_of_folder(some)
    assert found == size.size_of(Dataset.load(folder), found.rows)


def test_an_epoch_takes_some_positives_of_a_user() -> None:
    counts = np.array([10, 3 * MOST_POSITIVES])
    found = size._size(400, 50, counts, (2, 2))
    assert found.in_epoch == (10 + MOST_POSITIVES, 11 + MOST_POSITIVES, 12 + MOST_POSITIVES)
    assert found.fitted == (310, 312, 314)


def test_a_folder_without_the_file_is_refused(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    some = tmp_path / "some"
    some.mkdir()
    (some / "manifest.json").write_bytes((make_dataset() / "manifest.json").read_bytes())
    with pytest.raises(InputError, match=r"train_offsets.npy: missing"):
        size.size_of_folder(some)
