"""The NCF release format."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest

from ncf.data.preparation import Prepared, Settings
from ncf.data.release import read_release, release_files
from ncf.data.release_preparation import prepare_release
from ncf.errors import InputError

TRAIN = "1\t10\t5\t30\n0\t10\t5\t1\n0\t20\t4\t3\n0\t30\t4\t2\n0\t20\t4\t3\n1\t40\t1\t9\n2\t10\t1\t1\n0\t99\t1\t9\n"
TEST = "1\t20\t5\t50\n0\t99\t3\t60\n2\t20\t1\t2\n"
NEGATIVE = "(1,20)\t30\t77\n(2,20)\t30\t40\n(0,99)\t40\t99\n"


def write(folder: Path, train: str = TRAIN, test: str = TEST, negative: str = NEGATIVE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "d.train.rating").write_text(train)
    (folder / "d.test.rating.xz").write_bytes(lzma.compress(test.encode()))
    (folder / "d.test.negative").write_text(negative)
    return folder


def prepared(folder: Path, **changes: object) -> Prepared:
    return prepare_release(release_files(folder), Settings(**changes))  # type: ignore[arg-type]


def test_split_and_negatives_are_kept(tmp_path: Path) -> None:
    result = prepared(write(tmp_path))
    data = result.dataset
    assert list(data.user_ids) == ["0", "1", "2"]
    assert list(data.item_ids) == ["10", "20", "30", "40", "77", "99"]
    assert data.test.tolist() == [[0, 5], [1, 1], [2, 1]]
    assert data.test_negatives is not None
    assert data.test_negatives.tolist() == [
        [3, 5],
        [2, 4],
        [2, 3],
    ]  # the positive itself is among a user's negatives
    assert data.validation.tolist() == [[0, 1], [1, 0]]  # user 2 keeps its one item in training
    assert [data.train.of_user(user).tolist() for user in range(3)] == [[0, 2], [3], [0]]
    metrics = result.metrics()
    assert (metrics["read"], metrics["dropped_duplicates"], metrics["dropped_leaked"]) == (11, 1, 1)


def test_the_files_of_a_release_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    prepared(write(tmp_path))
    assert "reading the NCF release d.train.rating, d.test.rating.xz, d.test.negative" in caplog.text


def test_without_times_validation_is_drawn_by_seed(tmp_path: Path) -> None:
    train = "".join(f"{user}\t{item}\t1\t0\n" for user in (0, 1, 2) for item in range(100, 120))
    write(tmp_path, train=train)
    one, same, other = (prepared(tmp_path, seed=seed).dataset.validation for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"negative": NEGATIVE.replace("(1,20)", "(1,30)")},
            r"d\.test\.negative: expected the \(user,item\) pairs of d\.test\.rating",
        ),
        (
            {"negative": NEGATIVE.replace("(1,20)", "1;20")},
            r"row 1, column '1': '1;20'; expected \(user,item\)",
        ),
        (
            {"negative": NEGATIVE.replace("\t40\n", "\n")},
            r"d\.test\.negative: row 2: 2 fields separated by '\\t'",
        ),
        ({"negative": ""}, r"d\.test\.negative: is empty"),
        ({"train": ""}, r"d\.train\.rating: is empty"),
        ({"train": TRAIN + "2\t\t1\t1\n"}, r"d\.train\.rating: row 9, column '2': empty; expected an id"),
        ({"test": TEST + "0\t99\t1\t1\n", "negative": NEGATIVE + "(0,99)\t10\t20\n"}, r"occurs twice"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, str], match: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=match):
        prepared(write(tmp_path, **changes))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write(tmp_path) / "d.test.negative").unlink()
    with pytest.raises(InputError, match=r"has one file \*\.test\.negative; found none"):
        release_files(tmp_path)
    (tmp_path / "d.train.rating").unlink()
    assert release_files(tmp_path) == []


def test_settings_that_would_change_the_release_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"min_rating is 4\.0, but the data are in the NCF release format.*leave min_rating at 0",
    ):
        prepared(write(tmp_path), min_rating=4.0)


def test_movielens_1m(shared_data: Path) -> None:
    files = release_files(shared_data / "ml-1m")
    release = read_release(files)
    result = prepare_release(files, Settings())
    data = result.dataset
    assert (data.n_users, data.n_items) == (6040, 3706)
    assert (len(data.train.items), len(data.validation), len(data.test)) == (988_129, 6040, 6040)
    assert data.test_negatives is not None
    assert data.test_negatives.shape == (6040, 99)
    assert (data.test_negatives == data.test[:, 1:]).any(axis=1).sum() == 156
    # an independent reading of the release's own files
    lines = lzma.decompress(files[2].read_bytes()).decode().splitlines()
    for row, line in enumerate(lines[::500]):
        pair, *negatives = line.split("\t")
        user, item = pair[1:-1].split(",")
        index = row * 500
        assert data.user_ids[int(data.test[index, 0])] == user
        assert data.item_ids[int(data.test[index, 1])] == item
        assert [data.item_ids[n] for n in data.test_negatives[index].tolist()] == negatives
    held_out = {(user, item) for user, item in data.test.tolist()}
    train = zip(data.train.users().tolist(), data.train.items.tolist(), strict=True)
    assert held_out.isdisjoint(train)
    assert release.leaked == release.repeated == 0
