"""Data with structure, small enough to train on in a blink."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from ncf.artifacts import dataset as dataset_layout
from ncf.artifacts import manifest
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.samples import Samples
from ncf.artifacts.strings import Strings
from ncf.sampling.candidates import draw_candidates

N_USERS, N_ITEMS, N_GROUPS = 80, 120, 4


@dataclass(frozen=True)
class Folders:
    """A data set and its samples."""

    dataset: Path
    samples: Path

    def load(self) -> tuple[Dataset, Samples]:
        return Dataset.load(self.dataset), Samples.load(self.samples)


@pytest.fixture(scope="session")
def make_folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Folders]:
    """Users of four groups, each with 12 of the 30 items of its group; one item held out for validation and one
    for the test, which ``other_test`` replaces by another."""

    def make(other_test: bool = False) -> Folders:
        rng = np.random.default_rng(5)
        group = np.arange(N_USERS) % N_GROUPS
        rows = [rng.permutation(N_ITEMS // N_GROUPS)[:13] * N_GROUPS + own for own in group]
        validation = np.array([[user, row[0]] for user, row in enumerate(rows)], np.int32)
        test = np.array([[user, row[1 + other_test]] for user, row in enumerate(rows)], np.int32)
        users = np.repeat(np.arange(N_USERS, dtype=np.int32), 10)
        dataset = Dataset(
            train=ItemsByUser.of_sorted(users, np.concatenate([row[3:] for row in rows]).astype(np.int32), N_USERS),
            validation=validation,
            test=test,
            user_ids=Strings.of(f"u{user}" for user in range(N_USERS)),
            item_ids=Strings.of(f"i{item}" for item in range(N_ITEMS)),
            days=np.arange(12 * N_USERS, dtype=np.int32),
        )
        folder = tmp_path_factory.mktemp("groups")
        dataset.save(folder / "dataset", {}, {"fingerprint": "groups"})
        fingerprint = manifest.fingerprint(manifest.read(folder / "dataset", dataset_layout.KIND))
        samples = draw_candidates(dataset, 50, "uniform", 7, fingerprint)
        samples.save(folder / "samples", {})
        return Folders(folder / "dataset", folder / "samples")

    return make


@pytest.fixture(scope="session")
def folders(make_folders: Callable[..., Folders]) -> Folders:
    return make_folders()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of torch in the same order each time. Threads of tests that run side by side would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
