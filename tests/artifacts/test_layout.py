"""The arrays and manifests that stages hand to each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncf.artifacts import items_by_user as items_by_user_module
from ncf.artifacts import manifest, untrusted_files
from ncf.artifacts.dataset import Dataset
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.strings import Strings
from ncf.artifacts.untrusted_files import UntrustedFiles
from ncf.errors import InputError

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**31 - 1)), max_size=60)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_strings_come_back(values: list[str]) -> None:
    strings = Strings.of(values)
    assert list(strings) == values
    assert [strings[index] for index in range(len(values))] == values
    assert strings[-1:] == values[-1:]


def test_strings_are_memory_mapped_files(tmp_path: Path) -> None:
    for name, values in (("ids", ["a", "", "日本"]), ("none", [])):
        Strings.of(values).save(tmp_path, name)
        names = [path.name for path in tmp_path.iterdir()]
        assert list(UntrustedFiles.of(tmp_path, names).strings(name)) == values


@pytest.mark.parametrize(
    ("content", "offsets"),
    [
        ("é", [0, 1, 2]),
        ("aé", [0, 2, 3]),
        ("日本", [0, 3, 5, 6]),
        (b"\xff", [0, 1]),
        (b"a\xc3", [0, 2]),
        (b"\xed\xa0\x80", [0, 3]),
    ],
)
@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_strings_that_are_not_utf_8_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, offsets: list[int], at_once: int
) -> None:
    monkeypatch.setattr(untrusted_files, "_BYTES_PER_BLOCK", at_once)
    data = content.encode() if isinstance(content, str) else content
    Strings(np.frombuffer(data, np.uint8), np.array(offsets, np.int64)).save(tmp_path, "ids")
    files = UntrustedFiles.of(tmp_path, ["ids.bytes.npy", "ids.offsets.npy"])
    with pytest.raises(InputError, match=r"ids\.bytes\.npy: not UTF-8"):
        files.strings("ids")


@pytest.mark.parametrize("at_once", [1, 7, 1 << 22])
@given(PAIRS, PAIRS)
def test_items_by_user_is_a_set_of_pairs(
    at_once: int, first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    one, two = (np.array(pairs, np.int32).reshape(-1, 2) for pairs in (first, second))
    grouped = ItemsByUser.of(one[:, 0], one[:, 1], 10)
    order = np.argsort(one[:, 0], kind="stable")
    unsorted = ItemsByUser.of_sorted(one[order, 0], one[order, 1], 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(items_by_user_module, "_INTERACTIONS_PER_BLOCK", at_once)
        both, in_order = grouped.union(two[:, 0], two[:, 1]), unsorted.in_order()
    for items_by_user, pairs in ((grouped, set(first)), (both, {*first, *second}), (in_order, set(first))):
        found = list(zip(items_by_user.users().tolist(), items_by_user.items.tolist(), strict=True))
        assert found == sorted(pairs)
        assert items_by_user.counts().sum() == len(pairs)


def test_dataset_comes_back(make_dataset: Callable[..., Path]) -> None:
    dataset = Dataset.load(make_dataset())
    assert (dataset.n_users, dataset.n_items) == (30, 200)
    assert dataset.item_titles is not None
    assert dataset.item_titles[7] == "Title 7"
    assert len(dataset.positives().items) == len(dataset.train.items) + 60


def rewrite_manifest(folder: Path, **changes: object) -> None:
    path = folder / manifest.FILE_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_changed_byte_is_found(make_dataset: Callable[..., Path]) -> None:
    folder = make_dataset()
    path = folder / "user_ids.bytes.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"user_ids.bytes.npy: checksum differs"):
        Dataset.load(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("[1]"), "not a manifest"),
        (
            lambda folder: rewrite_manifest(folder, kind="model"),
            "this is a 'model' folder; a 'dataset' folder",
        ),
        (lambda folder: rewrite_manifest(folder, schema_version=9), "schema version 9"),
        (lambda folder: (folder / "test.npy").unlink(), "test.npy: missing"),
        (lambda folder: (folder / "train_items.npy").write_bytes(b""), "has 0 bytes, the manifest says"),
    ],
)
def test_an_incomplete_folder_is_refused(
    damage: Callable[[Path], None], message: str, make_dataset: Callable[..., Path]
) -> None:
    folder = make_dataset()
    damage(folder)
    with pytest.raises(InputError, match=message):
        Dataset.load(folder)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("test.npy", np.array([[0, 200]], np.int32), "indices from 200 to 200; expected 0 to 199"),
        ("test.npy", np.zeros((3, 3), np.int32), r"shape \(3, 3\)"),
        ("train_items.npy", np.zeros(3, np.int32), r"train_offsets\.npy: expected offsets that rise from 0 to 3"),
        ("validation.npy", np.array([{}]), r"validation\.npy: object"),
    ],
)
def test_wrong_arrays_are_refused_though_the_manifest_agrees(
    name: str, array: np.ndarray, message: str, make_dataset: Callable[..., Path]
) -> None:
    folder = make_dataset()
    np.save(folder / name, array, allow_pickle=True)
    manifest.write(folder, "dataset", {}, {}, {})
    with pytest.raises(InputError, match=message):
        Dataset.load(folder)


def test_equal_content_has_an_equal_fingerprint(make_dataset: Callable[..., Path]) -> None:
    one = manifest.fingerprint(manifest.read(make_dataset(seed=1), "dataset"))
    two = manifest.fingerprint(manifest.read(make_dataset(seed=2), "dataset"))
    assert one != two
    assert len(one) == 64
