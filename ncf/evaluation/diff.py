"""Difference between the lists that two models serve to the same users."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation import metrics
from ncf.evaluation.catalogue import LIST_LENGTH
from ncf.evaluation.champion import UNKNOWN, Comparison, match
from ncf.evaluation.groups import by_activity
from ncf.evaluation.intervals import Estimate, estimate
from ncf.models.ranker import NO_ITEM, Ranker
from ncf.progress import progress

_EXAMPLES = 20
_HISTORY = 3
_USERS_PER_BATCH = 1024
_log = logging.getLogger(__name__)

Lists = NDArray[np.int32]
"""Served items of each user, the best first, int32 [users, LIST_LENGTH]; ``NO_ITEM`` fills short lists."""


class Change(NamedTuple):
    """Number of lists with an item, before and after."""

    item: int
    before: int
    after: int


@dataclass(frozen=True)
class GroupDiff:
    """Differences for a group of users.

    Attributes:
        name: of the group: its range of interactions.
        users: number of users.
        overlap: mean overlap of the two lists of a user, 0 to 1.
        unchanged: number of users with the same list.
        replaced: number of users whose lists have no item in common.
        gained, lost: item that is added to, and removed from, most lists, or None.
        ndcg: difference in NDCG@10 on the whole catalogue, paired by user, or None without comparable users.
    """

    name: str
    users: int
    overlap: float
    unchanged: int
    replaced: int
    gained: Change | None
    lost: Change | None
    ndcg: Estimate | None = None


@dataclass(frozen=True)
class Diff:
    """Lists of two models for users that both know.

    Items have the index of ``after``; items that only ``before`` knows follow.

    Attributes:
        before, after: the two models, as they are hosted.
        users: int32 [n], users in the index of ``after``, ascending, at most as many as were asked for.
        lists_before, lists_after: of these users.
        seen_since: list entries that are gone because the user has interacted with the item since.
        known_users: number of users that both models know.
        only_before, only_after: number of users that one model knows; the other serves them popular items.
        items_before: int32 [items of ``before``], index of each item.
    """

    before: ModelFolder
    after: ModelFolder
    users: NDArray[np.int32]
    lists_before: Lists
    lists_after: Lists
    seen_since: int
    known_users: int
    only_before: int
    only_after: int
    items_before: NDArray[np.int32]

    @cached_property
    def shared(self) -> NDArray[np.int64]:
        """Items that both lists of a user have, int64 [n]."""
        return _shared(self.lists_before, self.lists_after)

    @cached_property
    def overlap(self) -> NDArray[np.float64]:
        """Share of the longer list of each user that both lists have, float64 [n]; 1 if both are empty."""
        lengths = np.maximum((self.lists_before != NO_ITEM).sum(1), (self.lists_after != NO_ITEM).sum(1))
        return np.where(lengths > 0, self.shared / np.maximum(lengths, 1), 1.0)

    @cached_property
    def unchanged(self) -> NDArray[np.bool_]:
        """Users with the same items in the same order, bool [n]."""
        same: NDArray[np.bool_] = (self.lists_before == self.lists_after).all(1)
        return same

    @property
    def reordered(self) -> NDArray[np.bool_]:
        """Users with the same items in another order, bool [n]."""
        found: NDArray[np.bool_] = (self.overlap == 1) & ~self.unchanged
        return found

    @property
    def replaced(self) -> NDArray[np.bool_]:
        """Users whose lists have no item in common, bool [n]."""
        found: NDArray[np.bool_] = self.overlap == 0
        return found

    @property
    def n_items(self) -> int:
        """Items of both models together."""
        return max(len(self.after.item_ids), int(self.items_before.max(initial=-1)) + 1)

    def exposure(self, lists: Lists) -> NDArray[np.int64]:
        """Number of lists with each item, int64 [n_items]."""
        return np.bincount(lists[lists != NO_ITEM], minlength=self.n_items)

    def changes(self, most: int, gains: bool, rows: NDArray[np.bool_] | None = None) -> list[Change]:
        """Items that most lists gain, or lose, the largest change first.

        Args:
            most: largest number of items.
            gains: whether to return gains rather than losses.
            rows: bool [n], users; None for all.
        """
        chosen = slice(None) if rows is None else rows
        before, after = self.exposure(self.lists_before[chosen]), self.exposure(self.lists_after[chosen])
        change = after - before if gains else before - after
        best = np.argsort(-change, kind="stable")[:most]
        return [Change(item, int(before[item]), int(after[item])) for item in best.tolist() if change[item] > 0]

    def of_groups(self, comparison: Comparison | None, resamples: int, seed: int) -> list[GroupDiff]:
        """Differences by activity: quarters of the users by interactions that ``after`` was fitted on.

        Args:
            comparison: of the two models on test positives, for the metrics; or None.
            resamples: of each interval.
            seed: of the resamples.
        """
        gains, compared = _ndcg_gains(comparison)
        if not len(self.users):
            return []
        groups = by_activity(self.after.train, np.concatenate([self.users, compared]))
        found = []
        for group in groups:
            rows, inside = np.split(group.rows, [len(self.users)])
            if not rows.any():
                continue
            ndcg = None
            if inside.any():
                ndcg = estimate({"ndcg": gains[inside]}, compared[inside], resamples, seed)["ndcg"]
            gained, lost = (next(iter(self.changes(1, way, rows)), None) for way in (True, False))
            found.append(
                GroupDiff(
                    name=group.name,
                    users=int(rows.sum()),
                    overlap=float(self.overlap[rows].mean()),
                    unchanged=int(self.unchanged[rows].sum()),
                    replaced=int(self.replaced[rows].sum()),
                    gained=gained,
                    lost=lost,
                    ndcg=ndcg,
                )
            )
        return found

    def values(self) -> dict[str, float]:
        """Flat figures for the metrics of a stage; none without users that both models know."""
        if not len(self.users):
            return {}
        return {
            "list_overlap_at_10": float(self.overlap.mean()),
            "lists_unchanged": float(self.unchanged.mean()),
            "lists_replaced": float(self.replaced.mean()),
        }

    def examples(self, seed: int) -> list[int]:
        """Rows of up to 20 users, spread over the overlap, the smallest overlap first.

        Users are drawn by ``seed``, one of each number of shared items after the other.
        """
        rng = np.random.default_rng(seed)
        levels = [rng.permutation(np.flatnonzero(self.shared == level)) for level in np.unique(self.shared)]
        rounds = range(max(map(len, levels), default=0))
        drawn = [int(level[turn]) for turn in rounds for level in levels if turn < len(level)][:_EXAMPLES]
        return sorted(drawn, key=lambda row: (self.shared[row], row))

    def history(self, row: int) -> list[int]:
        """Up to three items that a user has interacted with: the latest, where the model knows times."""
        latest: list[int] = self.after.seen.of_user(int(self.users[row]))[::-1][:_HISTORY].tolist()
        return latest

    def title(self, item: int) -> str:
        """The title of an item; its ID if it has none."""
        model, index = self.after, item
        if item >= len(self.after.item_ids):
            model, index = self.before, int(np.flatnonzero(self.items_before == item)[0])
        return (model.item_titles[index] if model.item_titles is not None else "") or model.item_ids[index]


def diff(before: ModelFolder, after: ModelFolder, max_users: int, seed: int) -> Diff:
    """Compare the lists that two models serve. Users and items are matched by raw id.

    The lists are those of the endpoint: of the hosted weights, without items that the user has interacted with, as far
    as each model knows.

    Args:
        before: the model that is replaced.
        after: the model that replaces it.
        max_users: largest number of users, drawn by ``seed``. Each takes some 100 bytes of memory.
        seed: of the draw.
    """
    user_of = match(after.user_ids, before.user_ids)
    known = np.flatnonzero(user_of != UNKNOWN).astype(np.int32)
    users = known
    if len(known) > max_users:
        users = np.sort(np.random.default_rng(seed).choice(known, max_users, replace=False))
    items_before = match(before.item_ids, after.item_ids)
    new = items_before == UNKNOWN
    items_before[new] = len(after.item_ids) + np.arange(new.sum(), dtype=np.int32)
    _log.info("comparing the lists of %s users by two models", f"{len(users):,}")
    of_before = _served(before, user_of[users])
    lists_before = np.where(of_before == NO_ITEM, NO_ITEM, items_before[of_before])
    lists_after = _served(after, users)
    hosted = after.hosted()
    return Diff(
        before=before.hosted(),
        after=hosted,
        users=users,
        lists_before=lists_before,
        lists_after=lists_after,
        seen_since=sum(
            int(np.isin(row, hosted.seen.of_user(user)).sum())
            for user, row in zip(users.tolist(), lists_before, strict=True)
        ),
        known_users=len(known),
        only_before=len(before.user_ids) - len(known),
        only_after=len(after.user_ids) - len(known),
        items_before=items_before,
    )


def _served(folder: ModelFolder, users: NDArray[np.int32]) -> Lists:
    """Lists that an endpoint with this model serves."""
    model = folder.hosted()
    ranker = Ranker(model.config, model.weights, histories=model.train)
    lists = np.full((len(users), LIST_LENGTH), NO_ITEM, np.int32)
    with progress("ranking the lists that are served", len(users), "users") as bar:
        for start in range(0, len(users), _USERS_PER_BATCH):
            batch = users[start : start + _USERS_PER_BATCH]
            items, _ = ranker.top_k(batch, LIST_LENGTH, model.seen)
            lists[start : start + len(batch), : items.shape[1]] = items
            bar.update(len(batch))
    return lists


def _shared(one: Lists, other: Lists) -> NDArray[np.int64]:
    shared = np.zeros(len(one), np.int64)
    for column in one.T:
        shared += ((column[:, None] == other) & (column[:, None] != NO_ITEM)).any(1)
    return shared


def _ndcg_gains(comparison: Comparison | None) -> tuple[metrics.Floats, NDArray[np.int32]]:
    """Difference in NDCG@10 on the whole catalogue of each user that can be compared there, and these users."""
    if comparison is None or not comparison.catalogue:
        return np.empty(0), np.empty(0, np.int32)
    model, champion = (metrics.user_ndcg(comparison.catalogue[name], LIST_LENGTH) for name in ("model", "champion"))
    return model - champion, comparison.users
