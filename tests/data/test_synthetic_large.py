"""Interactions made up block by block: as many as asked for, without repeats, with long tails and tastes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic_large

from ncf.data.reading import columns, read_interactions
from ncf.data.synthetic import Interactions

USERS, ITEMS, INTERACTIONS = 3_000, 900, 120_000


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Interactions]:
    monkeypatch.setattr(synthetic_large, "INTERACTIONS_PER_BLOCK", 20_000)
    return list(synthetic_large.blocks(USERS, ITEMS, INTERACTIONS))


def test_blocks_hold_users_of_their_own_without_repeats(made: list[Interactions]) -> None:
    assert len(made) >= 6
    users = [np.unique(block.user) for block in made]
    assert np.array_equal(np.concatenate(users), np.arange(USERS)), "each user is in one block alone"
    for block in made:
        assert len(np.unique(block.user.astype(np.int64) * ITEMS + block.item)) == len(block.user)
        assert (np.diff(block.timestamp) >= 0).all()
        assert len(block.user) < 20_000 + ITEMS // 3
    assert sum(len(block.user) for block in made) == pytest.approx(INTERACTIONS, rel=0.05)


def test_tails_are_long_and_there_are_tastes(made: list[Interactions]) -> None:
    user, item, rating = (np.concatenate([getattr(b, name) for b in made]) for name in ("user", "item", "rating"))
    activity, popularity = np.bincount(user), np.sort(np.bincount(item, minlength=ITEMS))[::-1]
    assert activity.min() >= 5
    assert activity.max() <= ITEMS // 3
    assert activity.mean() > 1.3 * np.median(activity)
    assert 0.3 < popularity[: ITEMS // 10].sum() / popularity.sum() < 0.9
    assert set(np.unique(rating)) <= set(np.arange(1, 11) / 2)
    # tastes: of two popular items, some pairs are taken together far more often than chance has it, others far less
    matrix = np.zeros((USERS, ITEMS), bool)
    matrix[user, item] = True
    popular = matrix[:, np.argsort(np.bincount(item, minlength=ITEMS))[-60:]].astype(float)
    together = (popular.T @ popular)[np.triu_indices(60, 1)]
    share = popular.mean(axis=0)
    lift = together / (USERS * np.outer(share, share))[np.triu_indices(60, 1)]
    low, high = np.percentile(lift, [5, 97])
    assert high > 1.5 * low


def test_the_same_seed_gives_the_same(made: list[Interactions]) -> None:
    again = list(synthetic_large.blocks(USERS, ITEMS, INTERACTIONS))
    other = list(synthetic_large.blocks(USERS, ITEMS, INTERACTIONS, seed=8))
    for block, same in zip(made, again, strict=True):
        assert all(np.array_equal(value, vars(same)[name]) for name, value in vars(block).items())
    assert not np.array_equal(made[0].item[:100], other[0].item[:100])


def test_preprocess_reads_what_is_written(tmp_path: Path, made: list[Interactions]) -> None:
    total = synthetic_large.write_parquet(tmp_path, USERS, ITEMS, INTERACTIONS)
    read = read_interactions(tmp_path, columns())
    assert total == len(read) == sum(len(block.user) for block in made)
    assert read.rating is not None
    assert read.time is not None
    assert len(read.user_ids) == USERS


def test_too_few_items_for_the_genres_are_refused() -> None:
    with pytest.raises(ValueError, match="items is 59; expected 60 or more"):
        next(synthetic_large.blocks(10, 59, 100))
