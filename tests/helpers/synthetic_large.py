"""Synthetic interactions in any number, block by block: 100 million in a minute or two, in bounded memory.

:mod:`ncf.data.synthetic` weighs every item for every user, which suits a small catalogue. Here users choose from
genres. Each user prefers a few genres. Within a genre the popularity of items follows Zipf's law, which is drawn
without a table. The activity of users is log-normal. Both have the long tails of real data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncf.data.synthetic import SEED, START, YEAR, Interactions
from ncf.staged_output import staged

INTERACTIONS_PER_BLOCK = 1 << 22
"""Approximate size of a block, which bounds the memory: some 100 bytes an interaction."""

_FEWEST = 5
_LARGEST_SHARE = 3  # a user has at most one in three items
_ACTIVITY_SPREAD = 1.0  # standard deviation of the log
_GENRES, _FAVOURITES, _LOYALTY = 20, 3, 0.7  # the last: share of choices that fall on a favourite
# shift of the Zipf-Mandelbrot law with exponent 1: at most, and as a share of the items of a genre
_ZIPF_SHIFT, _SHIFT_SHARE = 20.0, 0.02
_ROUNDS = 3  # of draws by taste, to replace repeats; later repeats are replaced by uniform draws


def blocks(users: int, items: int, interactions: int, seed: int = SEED) -> Iterator[Interactions]:
    """Blocks of about ``interactions`` interactions, each item of a user once, all of a user in one block.

    A block is sorted by time. The same arguments give the same blocks.

    Args:
        users: number of users.
        items: number of items, at least 60.
        interactions: in all. A user has five or more, and at most one in three items. In a small catalogue some users
            have fewer, as repeats are dropped.
        seed: of all draws.
    """
    if items < _GENRES * _LARGEST_SHARE:
        raise ValueError(f"items is {items}; expected {_GENRES * _LARGEST_SHARE} or more, so that each genre has some")
    rng = np.random.default_rng([seed, 2])
    activity = rng.lognormal(0, _ACTIVITY_SPREAD, users)
    counts = np.clip(np.round(activity / activity.sum() * interactions), _FEWEST, items // _LARGEST_SHARE)
    ends = np.cumsum(counts.astype(np.int64))
    item_of_position = rng.permutation(items).astype(np.int32)  # position: rank in its genre x genres + genre
    last = -(-int(ends[-1]) // INTERACTIONS_PER_BLOCK)
    bounds = np.searchsorted(ends, np.arange(1, last) * INTERACTIONS_PER_BLOCK)
    for number, (start, end) in enumerate(zip([0, *bounds], [*bounds, users], strict=True)):
        if start < end:
            block_rng = np.random.default_rng([seed, 3, number])
            yield _block(np.arange(start, end), counts[start:end].astype(np.int64), items, item_of_position, block_rng)


def write_parquet(folder: Path, users: int, items: int, interactions: int, seed: int = SEED) -> int:
    """Write ``interactions-000.parquet`` and so on, with the columns userId, itemId, rating, timestamp.

    Returns:
        Number of interactions.
    """
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, block in enumerate(blocks(users, items, interactions, seed)):
        columns = {"userId": block.user, "itemId": block.item, "rating": block.rating, "timestamp": block.timestamp}
        with staged(folder / f"interactions-{number:03d}.parquet") as path:
            parquet.write_table(pa.table(columns), path)
        total += len(block.user)
    return total


def _block(
    users: NDArray[np.int64],
    counts: NDArray[np.int64],
    items: int,
    item_of_position: NDArray[np.int32],
    rng: np.random.Generator,
) -> Interactions:
    favourites = rng.integers(0, _GENRES, (len(users), _FAVOURITES)).astype(np.int32)
    pairs = np.empty(0, np.int64)  # row x items + position, ascending
    missing = counts
    for round_ in range(_ROUNDS + 1):
        rows = np.repeat(np.arange(len(users)), missing)
        if not len(rows):
            break
        positions = _by_taste(favourites[rows], items, rng) if round_ < _ROUNDS else rng.integers(0, items, len(rows))
        pairs = np.sort(np.concatenate([pairs, rows * items + positions]))
        pairs = pairs[np.diff(pairs, prepend=-1) != 0]
        missing = counts - np.bincount(pairs // items, minlength=len(users))
    rows, positions = np.divmod(pairs, items)
    del pairs
    liked = (favourites[rows] == (positions % _GENRES)[:, None]).any(axis=1)
    rating = np.clip(np.round((2.8 + liked + rng.normal(0, 0.9, len(rows))) * 2) / 2, 0.5, 5).astype(np.float32)
    joined = rng.integers(0, 2 * YEAR, len(users))
    timestamp = START + joined[rows] + rng.integers(0, YEAR // 2, len(rows))
    order = np.argsort(timestamp)
    return Interactions(
        users[rows[order]].astype(np.int32), item_of_position[positions[order]], rating[order], timestamp[order]
    )


def _by_taste(favourites: NDArray[np.int32], items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Position in the catalogue for each row of favourites, int64 [rows]."""
    n = len(favourites)
    genre = rng.integers(0, _GENRES, n)
    loyal = np.flatnonzero(rng.random(n) < _LOYALTY)
    genre[loyal] = favourites[loyal, rng.integers(0, _FAVOURITES, len(loyal))]
    size = (items - genre + _GENRES - 1) // _GENRES  # items of that genre
    shift = np.minimum(_ZIPF_SHIFT, _SHIFT_SHARE * size)
    rank = shift * np.expm1(rng.random(n) * np.log1p(size / shift))
    position: NDArray[np.int64] = np.minimum(rank.astype(np.int64), size - 1) * _GENRES + genre
    return position
