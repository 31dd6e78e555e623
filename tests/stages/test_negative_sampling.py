"""The negative-sampling stage, run as its command is."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ncf.artifacts import manifest
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.samples import KIND, Samples
from ncf.artifacts.strings import Strings
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
        assert not {held_out, test} & set(samples.exclusion.of_user(user).tolist())


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


def with_power_users(folder: Path, items_of: list[int], n_items: int = 120) -> Path:
    """A data set of users with the first items of the catalogue; the last two of each are held out."""
    users = np.repeat(np.arange(len(items_of), dtype=np.int32), np.array(items_of) - 2)
    held_out = [np.array([[u, n - k] for u, n in enumerate(items_of)], np.int32) for k in (2, 1)]
    items = np.concatenate([np.arange(n - 2, dtype=np.int32) for n in items_of])
    ids = (Strings.of(f"u{user}" for user in range(len(items_of))), Strings.of(f"i{item}" for item in range(n_items)))
    train = ItemsByUser.of_sorted(users, items, len(items_of))
    Dataset(train, *held_out, *ids).save(folder, {}, {"fingerprint": "power"})
    return folder


@pytest.mark.parametrize("strategy", ["uniform", "popularity"])
@pytest.mark.parametrize("candidates", [1, 99])
def test_users_of_nearly_all_items_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, candidates: int, strategy: str
) -> None:
    folder = with_power_users(tmp_path / "dataset", [5, 120, 9, 7, 119, 12])
    flags = ["--candidates", str(candidates), "--candidates-strategy", strategy]
    with caplog.at_level(logging.WARNING):
        samples = sample(folder, tmp_path / "samples", *flags)
    kept = [0, 2, 3, 5] if candidates == 99 else [0, 2, 3, 4, 5]
    for pairs, drawn in (
        (samples.validation, samples.validation_candidates),
        (samples.test, samples.test_candidates),
    ):
        assert pairs[:, 0].tolist() == kept
        assert drawn.shape == (len(kept), candidates)
    assert samples.left_out == 6 - len(kept)
    assert manifest.read(tmp_path / "samples", KIND)["counts"]["users_left_out"] == samples.left_out
    assert samples.exclusion.counts().tolist() == [3, 118, 7, 5, 117, 10]  # all stay in training
    assert f"{samples.left_out} of 6 users with held-out items have fewer than {candidates} of the 120" in caplog.text


def test_an_evaluation_of_few_of_the_users_is_refused(tmp_path: Path) -> None:
    folder = with_power_users(tmp_path / "dataset", [30, 40, 50, 5])
    with pytest.raises(
        InputError, match="3 of 4 users .* fewer than 99 of the 120 .*; lower 'candidates' to 70 at most"
    ):
        sample(folder, tmp_path / "samples")
    assert sample(folder, tmp_path / "samples", "--candidates", "70").left_out == 0
    whole = with_power_users(tmp_path / "whole", [120, 120, 120, 5])
    with pytest.raises(InputError, match="most have interacted with every item: more items are needed"):
        sample(whole, tmp_path / "of-whole", "--candidates", "1")


def test_damaged_data_set_is_refused(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_dataset()
    path = folder / "train_items.npy"
    path.write_bytes(path.read_bytes()[:-4] + b"\x01\x00\x00\x00")
    with pytest.raises(InputError, match=r"train_items\.npy: checksum differs"):
        sample(folder, tmp_path / "samples")
    assert list(tmp_path.iterdir()) == [folder]
