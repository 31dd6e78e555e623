"""Synthetic interactions like MovieLens: string ids, ratings, timestamps, titles, a long tail, and tastes.

Each user and item has a vector in a small space of tastes. A user is active for some weeks and chooses items by
popularity and taste. A model that learns tastes ranks better than popularity.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ncf.staged_output import staged

USERS, ITEMS, INTERACTIONS, SEED = 2_000, 1_000, 120_000, 7
_TASTES = 6
_TASTE_STRENGTH = 1.6
_POPULARITY_SPREAD = 0.9
START, YEAR = 1_577_836_800, 365 * 24 * 3600  # seconds: 2020-01-01 UTC
_USERS_PER_BLOCK = 2_000
_FIRST = [
    "Silent",
    "Golden",
    "Broken",
    "Distant",
    "Electric",
    "Hidden",
    "Paper",
    "Winter",
    "Crimson",
    "Restless",
    "Velvet",
    "Hollow",
    "Northern",
    "Lost",
]
_SECOND = [
    "River",
    "Harbour",
    "Machine",
    "Garden",
    "Horizon",
    "Letter",
    "Orchard",
    "Signal",
    "Mirror",
    "Kingdom",
    "Summer",
    "Station",
    "Island",
    "Echo",
]
_THIRD = ["", " Returns", " at Night", " of Glass", " in June", " Revisited", " for Two", " Below"]


@dataclass(frozen=True)
class Interactions:
    """A table of synthetic interactions.

    Attributes:
        user, item: int32 [n] indices.
        rating: float32 [n], 0.5 to 5 in steps of a half.
        timestamp: int64 [n], seconds since 1970, unique within a user.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    rating: NDArray[np.float32]
    timestamp: NDArray[np.int64]


def generate(
    users: int = USERS, items: int = ITEMS, interactions: int = INTERACTIONS, seed: int = SEED
) -> Interactions:
    """Generate about ``interactions`` interactions: five or more a user, each item once."""
    rng = np.random.default_rng(seed)
    popularity = rng.permutation(np.sort(rng.normal(0, _POPULARITY_SPREAD, items)) * 1.2)  # [items], log scale
    item_tastes = rng.normal(size=(items, _TASTES)) / np.sqrt(_TASTES)
    user_tastes = rng.normal(size=(users, _TASTES)) * _TASTE_STRENGTH
    activity = rng.lognormal(0, 0.8, users)
    counts = np.clip(np.round(activity / activity.sum() * interactions), 5, max(5, items // 3)).astype(np.int64)
    counts = np.minimum(counts, items)

    columns = []
    for start in range(0, users, _USERS_PER_BLOCK):
        end = min(start + _USERS_PER_BLOCK, users)
        liking = user_tastes[start:end] @ item_tastes.T + popularity  # [block, items], log scale
        # the largest log-weights plus Gumbel noise are weighted draws without replacement
        noisy = (liking + rng.gumbel(size=liking.shape)).astype(np.float32)
        most = int(counts[start:end].max())
        chosen = np.argpartition(-noisy, most - 1, axis=1)[:, :most]
        chosen = np.take_along_axis(chosen, np.argsort(-np.take_along_axis(noisy, chosen, 1), axis=1), 1)
        drawn = np.arange(most) < counts[start:end, None]
        columns.append((np.nonzero(drawn)[0].astype(np.int32) + start, chosen[drawn].astype(np.int32)))
    user = np.concatenate([column[0] for column in columns])
    item = np.concatenate([column[1] for column in columns])

    fit = np.einsum("ij,ij->i", user_tastes[user], item_tastes[item]) + rng.normal(0, 0.7, len(user))
    rating = np.clip(np.round((3.2 + 0.8 * fit) * 2) / 2, 0.5, 5).astype(np.float32)
    joined = rng.integers(0, 2 * YEAR, users)
    timestamp = START + joined[user] + rng.integers(0, YEAR // 2, len(user))
    order = np.lexsort((item, timestamp, user))
    user, item, rating, timestamp = user[order], item[order], rating[order], timestamp[order]
    row = np.arange(len(user))
    first = np.maximum.accumulate(np.where(np.diff(user, prepend=-1) != 0, row, 0))
    return Interactions(user, item, rating, timestamp + (row - first))


def titles(items: int, seed: int = SEED) -> list[str]:
    """Distinct synthetic titles."""
    rng = np.random.default_rng([seed, 1])
    names = [f"{first} {second}{third}" for first in _FIRST for second in _SECOND for third in _THIRD]
    order = rng.permutation(len(names))
    years = rng.integers(1950, 2025, items)
    return [
        f"{names[order[index % len(names)]]}{'' if index < len(names) else f' {index // len(names) + 1}'} ({year})"
        for index, year in enumerate(years.tolist())
    ]


def write(
    folder: Path, users: int = USERS, items: int = ITEMS, interactions: int = INTERACTIONS, seed: int = SEED
) -> None:
    """Write ``interactions.csv`` (user, item, rating, timestamp) and ``items.csv`` (item, title)."""
    table = generate(users, items, interactions, seed)
    order = np.argsort(table.timestamp, kind="stable")
    rows = zip(
        table.user[order].tolist(),
        table.item[order].tolist(),
        table.rating[order].tolist(),
        table.timestamp[order].tolist(),
        strict=True,
    )
    with staged(folder / "interactions.csv") as path, path.open("w") as stream:
        stream.write("user,item,rating,timestamp\n")
        stream.writelines(f"u{user},i{item},{rating},{timestamp}\n" for user, item, rating, timestamp in rows)
    with staged(folder / "items.csv") as path, path.open("w") as stream:
        stream.write("item,title\n")
        stream.writelines(f"i{item},{title}\n" for item, title in enumerate(titles(items, seed)))
