"""NCF release format, in which He et al. published their data.

https://github.com/hexiangnan/neural_collaborative_filtering: ``NAME.train.rating`` and ``NAME.test.rating`` hold
``user item rating timestamp``. ``NAME.test.negative`` holds ``(user,item)`` and the negatives of that test pair. All
are separated by tabs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncf.data.columns import SHOWN_CHARACTERS, Block, Column
from ncf.data.decoding import COMPRESSIONS
from ncf.data.factorise import Ids
from ncf.data.filtering import merge_duplicates, select
from ncf.data.reading import Interactions, columns, interaction_names, title_name, without_constant_time
from ncf.data.split import MIN_POSITIVES, TEST, TRAIN, VALIDATION, Split, by_time, draw_two
from ncf.data.tables import read_blocks
from ncf.data.times import Times
from ncf.errors import InputError

_KINDS = (".train.rating", ".test.rating", ".test.negative")
_MAX_NEGATIVES = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """Content of a release.

    Attributes:
        train: training interactions without repeats and test pairs. The ids are those of the whole release.
        test: int32 [m, 2], sorted by user, then item.
        test_negatives: int32 [m, negatives], a row for each row of ``test``.
        repeated: training rows that were dropped as repeats.
        leaked: training rows that were dropped as test pairs.
    """

    train: Interactions
    test: NDArray[np.int32]
    test_negatives: NDArray[np.int32]
    repeated: int
    leaked: int


def release_files(path: Path) -> list[Path]:
    """Files of a release in a folder: training, test, negatives. Empty if the folder is not a release.

    Raises:
        InputError: if one of them is missing, or there are several releases.
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
    """Files that preprocess reads: a release or tables of interactions, and the table of titles.

    Args:
        names: of all files in a folder, relative to it.

    Raises:
        InputError: if there are none. The message does not name the folder.
    """
    release = [name for name in names if _kind(name) and "/" not in name]
    titles = title_name(names)
    is_release = any(_kind(name) == _KINDS[0] for name in release)
    return [*(release if is_release else interaction_names(names)), *([titles] if titles else [])]


def _kind(name: str) -> str:
    """Kind of release file with this name; '' for none."""
    path = Path(name)
    plain = path.stem if path.suffix in COMPRESSIONS else path.name
    return next((kind for kind in _KINDS if plain.endswith(kind)), "")


def read_release(files: Sequence[Path]) -> Release:
    """Read the files of a release.

    Args:
        files: from :func:`release_files`.

    Raises:
        InputError: if a file cannot be read, or test pairs and negatives do not match.
    """
    train_file, test_file, negative_file = files
    _log.info("reading the NCF release %s", ", ".join(file.name for file in files))
    ids = {"user": Ids("user"), "item": Ids("item")}
    train = _rating_rows(train_file, ids)
    test = _rating_rows(test_file, ids)
    pairs, negatives = _negative_rows(negative_file, ids)
    user_ids, user_index = ids["user"].sorted()
    item_ids, item_index = ids["item"].sorted()

    def pair_rows(user: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.stack([user_index[user], item_index[item]], axis=1)

    test_pairs, pairs = pair_rows(test["user"], test["item"]), pair_rows(pairs[:, 0], pairs[:, 1])
    order, test_order = (np.lexsort((rows[:, 1], rows[:, 0])) for rows in (pairs, test_pairs))
    test_pairs = test_pairs[test_order]
    if not np.array_equal(pairs[order], test_pairs):
        raise InputError(f"{negative_file}: expected the (user,item) pairs of {test_file.name}; found others")
    if len(test_pairs) > 1 and not (np.diff(test_pairs, axis=0) != 0).any(axis=1).all():
        raise InputError(f"{test_file}: a pair of user and item occurs twice; expected each once")

    read = Interactions(
        user=user_index[train["user"]],
        item=item_index[train["item"]],
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
        item_index[negatives][order],
        repeated=len(read) - len(merged),
        leaked=len(merged) - len(kept),
    )


def split_release(release: Release, seed: int) -> Split:
    """Split with the test pairs of the release and a validation item of each user from the training interactions.

    The validation item is the latest one, or drawn by ``seed`` without times. Users with one training item have none.
    """
    user, item, _ = by_time(release.train, seed)
    counts = np.bincount(user, minlength=len(release.train.user_ids))
    enough = counts >= MIN_POSITIVES - 1
    ends = np.cumsum(counts)
    rows = ends - 1 if release.train.time is not None else ends - counts + draw_two(counts, seed)[0]
    part = np.full(len(user), TRAIN, np.int8)
    part[rows[enough]] = VALIDATION
    user, item = np.concatenate([user, release.test[:, 0]]), np.concatenate([item, release.test[:, 1]])
    part = np.concatenate([part, np.full(len(release.test), TEST, np.int8)])
    order = np.argsort(user, kind="stable")
    return Split(user[order], item[order], part[order])


def _rating_rows(path: Path, ids: dict[str, Ids]) -> dict[str, NDArray[Any]]:
    """Users and items, as numbers of ``ids``, and times, if there are any, of a ``.rating`` file."""
    wanted = tuple(replace(column, given=str(column.position) if column.required else "") for column in columns())
    parts: dict[str, list[NDArray[Any]]] = {"user": [], "item": [], "time": []}
    times = Times()
    for block in read_blocks(path, wanted, "tab"):
        for role in ids:
            parts[role].append(ids[role].require(block))
        if "timestamp" in block.columns:
            parts["time"].append(times.read(block))
    if not parts["user"]:
        raise InputError(f"{path}: is empty; expected rows of user, item, rating and timestamp")
    rows = {role: np.concatenate(parts[role]) for role in ids}
    return {**rows, "time": times.microseconds(parts["time"], path)} if parts["time"] else rows


def _negative_rows(path: Path, ids: dict[str, Ids]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pairs (user, item), int32 [m, 2], and negatives, int32 [m, negatives], of a ``.negative`` file."""
    import pyarrow.compute as pc

    wanted = (
        Column("pair", (), 1, "1"),
        Column("negative", (), 2, "2"),
        *(Column(str(position), (), position, required=False) for position in range(3, _MAX_NEGATIVES + 2)),
    )
    pairs, negatives = [], []
    for block in read_blocks(path, wanted, "tab"):
        found = pc.extract_regex(block.columns["pair"], r"^\s*\((?P<user>[^,]+),(?P<item>[^,]+)\)\s*$")
        if found.null_count:
            index = int(np.asarray(pc.is_null(found)).argmax())
            shown = str(block.columns["pair"][index])[:SHOWN_CHARACTERS]
            raise block.fault("pair", index, f"'{shown}'; expected (user,item)")
        both = Block(
            block.path,
            {role: found.field(role) for role in ids},
            dict.fromkeys(ids, block.names["pair"]),
            block.rows,
            block.row_number,
        )
        pairs.append(np.stack([ids[role].require(both) for role in ids], axis=1))
        items = [ids["item"].require(block, role) for role in block.columns if role != "pair"]
        negatives.append(np.stack(items, axis=1))
    if not pairs:
        raise InputError(f"{path}: is empty; expected rows of (user,item) and negatives")
    return np.concatenate(pairs), np.concatenate(negatives)
