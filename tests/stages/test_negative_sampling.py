"""The negative-sampling stage, run as its command is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.samples import Samples
from ncf.errors import InputError
from ncf.stage.execution import run
from ncf.stages.negative_sampling import NegativeSampling


def sample(dataset: Path, folder: Path, *arguments: str) -> Samples:
    run(NegativeSampling, ["--dataset", str(dataset), "--samples", str(folder), *arguments])
    return Samples.load(folder)


def test_candidates_exclude_every_known_positive(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_dataset()
    dataset, samples = Dataset.load(folder), sample(folder, tmp_path / "samples")
    known = dataset.positives()
    for pairs, candidates in (
        (samples.validation, samples.validation_candidates),
        (samples.test, samples.test_candidates),
    ):
        assert candidates.shape == (len(pairs), 99)
        for (user, _), row in zip(pairs, candidates, strict=True):
            assert len(set(row.tolist())) == 99
            assert not set(row.tolist()) & set(known.of_user(user).tolist())
    assert np.array_equal(samples.test, dataset.test)


def test_exclusion_index_holds_training_positives_alone(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_dataset()
    dataset, samples = Dataset.load(folder), sample(folder, tmp_path / "samples")
    for user, (held_out, test) in enumerate(zip(dataset.validation[:, 1], dataset.test[:, 1], strict=True)):
        assert sorted(dataset.train.of_user(user)) == samples.exclusion.of_user(user).tolist()
        assert held_out not in samples.exclusion.of_user(user)
        assert held_out in samples.final_exclusion().of_user(user)
        assert test not in samples.final_exclusion().of_user(user)


def test_same_seed_same_bytes(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_dataset()
    one, two, other = (
        sample(folder, tmp_path / name, "--seed", seed) for name, seed in (("one", "1"), ("two", "1"), ("other", "2"))
    )
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_negatives_of_the_data_serve_the_test_alone(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    source = Dataset.load(make_dataset())
    given = np.tile(np.arange(7, dtype=np.int32), (len(source.test), 1))
    folder = tmp_path / "release"
    Dataset(source.train, source.validation, source.test, source.user_ids, source.item_ids, None, given).save(
        folder, {}, {"fingerprint": "x"}
    )
    samples = sample(folder, tmp_path / "samples")
    assert np.array_equal(samples.test_candidates, given)
    assert samples.validation_candidates.shape[1] == 99


def test_too_small_a_catalogue_names_the_parameter(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_dataset(n_items=60)
    with pytest.raises(
        InputError, match=r"parameter 'candidates' is 99: .* lower 'candidates'.* to \d+ at most"
    ) as error:
        sample(folder, tmp_path / "samples")
    assert not (tmp_path / "samples").exists()
    most = re.search(r"to (\d+) at most", str(error.value))
    assert most
    sample(folder, tmp_path / "samples", "--candidates", most[1])


def test_damaged_data_set_is_refused(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_dataset()
    path = folder / "train_items.npy"
    path.write_bytes(path.read_bytes()[:-4] + b"\x01\x00\x00\x00")
    with pytest.raises(InputError, match=r"train_items\.npy: checksum differs"):
        sample(folder, tmp_path / "samples")
    assert list(tmp_path.iterdir()) == [folder]
