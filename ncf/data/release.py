"""The format in which He et al. released their data: training pairs, a test pair a user, and its negatives.

https://github.com/hexiangnan/neural_collaborative_filtering: ``NAME.train.rating`` and ``NAME.test.rating``
hold ``user item rating timestamp``, ``NAME.test.negative`` holds ``(user,item)`` and the negatives, separated
by tabs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import Block, Column
from ncf.data.factorise import Ids
from ncf.data.filtering import merge_duplicates, select
from ncf.data.numbers import times, to_microseconds
from ncf.data.reading import Interactions, columns, interaction_names, title_name, without_constant_time
from ncf.data.split import FEWEST_TO_HOLD_OUT, TEST, TRAIN, VALIDATION, Split, by_time, draw_two
from ncf.data.tables import read_blocks
from ncf.data.text import COMPRESSIONS
from ncf.errors import InputError

_KINDS = (".train.rating", ".test.rating", ".test.negative")
_MOST_NEGATIVES = 1000


@dataclass(frozen=True)
class Release:
    """What a release holds.

    Attributes:
        train: the training interactions, without repeats and test pairs; its ids cover the whole release.
        test: int32 [m, 2], sorted by user, then item.
        test_negatives: int32 [m, negatives], rows as in ``test``.
        repeated: training rows that were dropped as repeats.
        leaked: training rows that were dropped as test pairs.
    """

    train: Interactions
    test: NDArray[np.int32]
    test_negatives: NDArray[np.int32]
    repeated: int
    leaked: int


def release_files(path: Path) -> list[Path]:
    """The three files of a release (training, test, negatives) in a folder; none if it is no release.

    Raises:
        InputError: if one is missing, or there are several releases.
    """
    found: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
    for file in sorted(path.iterdir()) if path.is_dir() else []:
        if kind := _kind(file.name):
            found[kind].append(file)
    if not found[_KINDS[0]]:
        return []
    for kind, files in found.items():
        if len(files) != 1:
            names = ", ".join(file.name for file in files) or "none"
            raise InputError(f"{path}: a folder in the NCF release format has one file *{kind}; found {names}")
    return [files[0] for files in found.values()]


def names_to_read(names: Sequence[str]) -> list[str]:
    """Of the names in a folder, relative to it, those that preprocess reads: a release or interactions, and titles.

    Raises:
        InputError: if there is nothing to read; the message does not say where.
    """
    release = [name for name in names if _kind(name) and "/" not in name]
    titles = title_name(names)
    is_release = any(_kind(name) == _KINDS[0] for name in release)
    return [*(release if is_release else interaction_names(names)), *([titles] if titles else [])]


def _kind(name: str) -> str:
    """Which file of a release has such a name; '' for none."""
    path = Path(name)
    plain = path.stem if path.suffix in COMPRESSIONS else path.name
    return next((kind for kind in _KINDS if plain.endswith(kind)), "")


def read_release(files: Sequence[Path]) -> Release:
    """Read the three files that :func:`release_files` found.

    Raises:
        InputError: if one cannot be read, or rows of test pairs and negatives do not match.
    """
    train_file, test_file, negative_file = files
    ids = {"user": Ids(), "item": Ids()}
    train = _rating_rows(train_file, ids)
    test = _rating_rows(test_file, ids)
    pairs, negatives = _negative_rows(negative_file, ids)
    user_ids, user_place = ids["user"].sorted()
    item_ids, item_place = ids["item"].sorted()

    def pair_rows(user: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.stack([user_place[user], item_place[item]], axis=1)

    test_pairs, pairs = pair_rows(test["user"], test["item"]), pair_rows(pairs[:, 0], pairs[:, 1])
    order, test_order = (np.lexsort((rows[:, 1], rows[:, 0])) for rows in (pairs, test_pairs))
    test_pairs = test_pairs[test_order]
    if not np.array_equal(pairs[order], test_pairs):
        raise InputError(f"{negative_file}: its (user,item) pairs are not those of {test_file.name}")
    if len(test_pairs) > 1 and not (np.diff(test_pairs, axis=0) != 0).any(axis=1).all():
        raise InputError(f"{test_file}: a pair of user and item occurs twice")

    read = Interactions(
        user=user_place[train["user"]],
        item=item_place[train["item"]],
        rating=None,
        time=train.get("time"),
        user_ids=user_ids,
        item_ids=item_ids,
        files=[file.name for file in files],
    )
    merged = merge_duplicates(read, "latest")
    keys, test_keys = (u.astype(np.int64) << 32 | i for u, i in ((merged.user, merged.item), test_pairs.T))
    kept = select(merged, ~np.isin(keys, test_keys))
    return Release(
        without_constant_time(kept),
        test_pairs,
        item_place[negatives][order],
        repeated=len(read) - len(merged),
        leaked=len(merged) - len(kept),
    )


def split_release(release: Release, seed: int) -> Split:
    """The release's test pairs, and a validation item of each user drawn from training.

    It is the latest by time, or drawn by ``seed`` without times; users with one training item have none.
    """
    user, item, _ = by_time(release.train)
    counts = np.bincount(user, minlength=len(release.train.user_ids))
    enough = counts >= FEWEST_TO_HOLD_OUT - 1
    ends = np.cumsum(counts)
    place = ends - 1 if release.train.time is not None else ends - counts + draw_two(counts, seed)[0]
    part = np.full(len(user), TRAIN, np.int8)
    part[place[enough]] = VALIDATION
    user, item = np.concatenate([user, release.test[:, 0]]), np.concatenate([item, release.test[:, 1]])
    part = np.concatenate([part, np.full(len(release.test), TEST, np.int8)])
    order = np.argsort(user, kind="stable")
    return Split(user[order], item[order], part[order])


def _rating_rows(path: Path, ids: dict[str, Ids]) -> dict[str, NDArray[Any]]:
    """Users, items (as numbered by ``ids``) and, where there are any, times of a ``.rating`` file."""
    wanted = tuple(replace(column, asked=str(column.position) if column.required else "") for column in columns())
    parts: dict[str, list[NDArray[Any]]] = {"user": [], "item": [], "time": []}
    for block in read_blocks(path, wanted, "tab"):
        for role in ids:
            parts[role].append(ids[role].encode(block, role))
        if "timestamp" in block.columns:
            parts["time"].append(times(block))
    if not parts["user"]:
        raise InputError(f"{path}: is empty; expected rows of user, item, rating and timestamp")
    rows = {role: np.concatenate(parts[role]) for role in ids}
    return {**rows, "time": to_microseconds(parts["time"], path)} if parts["time"] else rows


def _negative_rows(path: Path, ids: dict[str, Ids]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(user, item), int32 [m, 2], and negatives, int32 [m, negatives], of a ``.negative`` file."""
    import pyarrow.compute as pc

    wanted = (
        Column("pair", (), 1, "1"),
        Column("negative", (), 2, "2"),
        *(Column(str(place), (), place, required=False) for place in range(3, _MOST_NEGATIVES + 2)),
    )
    pairs, negatives = [], []
    for block in read_blocks(path, wanted, "tab"):
        found = pc.extract_regex(block.columns["pair"], r"^\s*\((?P<user>[^,]+),(?P<item>[^,]+)\)\s*$")
        if found.null_count:
            index = int(np.asarray(pc.is_null(found)).argmax())
            raise block.fault("pair", index, f"'{block.columns['pair'][index]}'; expected (user,item)")
        both = Block(
            block.path,
            {role: found.field(role) for role in ids},
            dict.fromkeys(ids, block.names["pair"]),
            block.rows,
            block.row_number,
        )
        pairs.append(np.stack([ids[role].encode(both, role) for role in ids], axis=1))
        items = [ids["item"].encode(block, role) for role in block.columns if role != "pair"]
        negatives.append(np.stack(items, axis=1))
    if not pairs:
        raise InputError(f"{path}: is empty; expected rows of (user,item) and negatives")
    return np.concatenate(pairs), np.concatenate(negatives)
