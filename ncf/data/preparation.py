"""Preparation of a data set from raw interactions: reading, filters, split, and the counts of each step."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ncf.artifacts.dataset import Dataset
from ncf.artifacts.forgotten import Forgotten
from ncf.artifacts.ids import MAX_ID_LENGTH
from ncf.artifacts.profile import Profile
from ncf.data import filtering, reading, split
from ncf.data.choice import Choice, choose, with_weights
from ncf.data.columns import OFF
from ncf.data.events import event_columns
from ncf.data.filtering import Duplicates
from ncf.data.notes import about_split
from ncf.data.profiling import profile_of
from ncf.data.reading import Interactions
from ncf.data.split import Split
from ncf.data.steps import Step, Steps
from ncf.data.times import to_time
from ncf.data.titles import read_titles
from ncf.errors import InputError
from ncf.seed import DEFAULT_SEED

_LEAST_TITLED = 0.5  # share of items with a title, below which a warning is given
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Parameters of the preparation. The preprocess stage describes them."""

    min_rating: float = 0.0
    min_user_interactions: int = 1
    min_item_interactions: int = 1
    split: Literal["leave_one_out", "temporal"] = "leave_one_out"
    test_after: str = ""
    validation_after: str = ""
    user_column: str = ""
    item_column: str = ""
    rating_column: str = ""
    timestamp_column: str = ""
    event_column: str = ""
    event_weights: Mapping[str, float] = field(default_factory=dict)
    since: str = ""
    days: int = 0
    title_column: str = ""
    title_item_column: str = ""
    duplicates: Duplicates = "latest"
    separator: str = "auto"
    max_unreadable: float = 1e-4
    seed: int = DEFAULT_SEED


@dataclass(frozen=True)
class Prepared:
    """A data set and the counts of its preparation.

    Attributes:
        dataset: the data set.
        steps: in their order; the first one is reading.
        notes: remarks on event types, times, split and titles for the report.
        time: int64 [n], microseconds since 1970 UTC of the remaining interactions, or None without times.
        files: names of the files.
        short_users: number of users without held-out items, as they have too few positives.
        columns: role -> name or number of its column in the interactions; empty for the NCF release format.
        profile: of the rows that were read.
        choice: the time window and the event types.
    """

    dataset: Dataset
    steps: Sequence[Step]
    notes: Sequence[str]
    time: NDArray[np.int64] | None
    files: Sequence[str]
    short_users: int
    profile: Profile
    columns: Mapping[str, str] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)

    def metrics(self) -> dict[str, float]:
        """Figures of the data set and of the dropped interactions (``dropped_*``)."""
        data = self.dataset
        train, validation, test = len(data.train.items), len(data.validation), len(data.test)
        interactions = train + validation + test
        return {
            "users": data.n_users,
            "items": data.n_items,
            "interactions": interactions,
            "sparsity": 1 - interactions / (data.n_users * data.n_items),
            "train": train,
            "validation": validation,
            "test": test,
            "read": self.steps[0].interactions,
            **{f"dropped_{step.name}": step.dropped for step in self.steps[1:]},
            "users_without_held_out": self.short_users,
            **({} if data.item_titles is None else {"titles": sum(map(bool, data.item_titles))}),
        }


def prepare(path: Path, settings: Settings, titles: Path | None = None, forgotten: Forgotten | None = None) -> Prepared:
    """Prepare a data set from the interactions at ``path``.

    Args:
        path: file or folder of interactions.
        settings: parameters.
        titles: table of titles, or None.
        forgotten: users whose interactions are left out, or None.

    Raises:
        InputError: with the file or parameter at fault.
    """
    wanted = (
        *reading.columns(settings.user_column, settings.item_column, settings.rating_column, settings.timestamp_column),
        *event_columns(settings.event_column, settings.event_weights),
    )
    read = reading.read_interactions(
        path, wanted, settings.separator, settings.max_unreadable, settings.event_weights, forgotten
    )
    if read.forgotten:
        _log.info("left out %s interactions of forgotten users", f"{read.forgotten:,}")
    if read.hint:
        _log.warning("%s", read.hint)
    hints, notes = [read.hint] if read.hint else [], []
    if read.time is None:
        notes.append("There are no timestamps.")
    elif without_time(read):
        notes.append("All timestamps are equal, so they tell no order and are not used.")
    if settings.split == "temporal" and (read.time is None or without_time(read)):
        raise InputError(f"{path}: split is 'temporal', but {notes[0][0].lower()}{notes[0][1:-1]}")
    for note in notes:
        _log.warning("%s Held-out items are drawn by seed %d.", note, settings.seed)
    read = reading.without_constant_time(read)
    profile = profile_of(read)
    steps = _first_steps(read, forgotten is not None)
    read, choice = choose(read, settings.event_weights, settings.since, settings.days, path, steps)
    try:
        kept = _filtered(read, settings, path, steps)
        del read  # frees memory: only the kept interactions are needed from here on
        parts = with_weights(_split(kept, settings), kept)
    except InputError as error:
        if not (left_out := choice.left_out()):
            raise
        raise InputError(f"{error}; {left_out}") from None
    if settings.split == "temporal":
        known = parts.part != split.LATER
        what = "Held out, but user or item unknown in training: only what is hosted learns from them"
        steps.add("unknown", what, parts.user[known], parts.item[known])
    user_ids, item_ids, parts = _compact(parts, kept)
    require_two_items(path, item_ids)
    notes.append(about_split(settings.split, kept.time is not None, settings.seed))
    if settings.split == "temporal" and settings.duplicates == "latest" and steps.by_name["duplicates"].dropped:
        notes.append(
            "Of repeated interactions the latest was kept, so training lacks those that were repeated after its end; "
            "with duplicates 'first' it has them."
        )
    made = prepared(parts, user_ids, item_ids, titles, settings, steps, hints + notes, kept.time, kept.files, profile)
    return replace(made, columns=kept.columns, choice=choice)


def without_time(interactions: Interactions) -> bool:
    """Whether there are times, and all are equal."""
    return interactions.time is not None and reading.without_constant_time(interactions).time is None


def _first_steps(read: Interactions, forgets: bool) -> Steps:
    """Reading and what it leaves out. Users and items of rows that it leaves out are not counted."""
    steps = Steps()
    steps.add("read", "Read", read.user, read.item)
    first, rest = steps.by_name["read"], len(read) + read.unreadable
    steps.by_name["read"] = replace(first, interactions=rest + read.forgotten)
    if forgets:
        what = "Of forgotten users"
        steps.by_name["forgotten"] = replace(
            first, name="forgotten", what=what, dropped=read.forgotten, interactions=rest
        )
    if read.unreadable:
        what = "No id or event type, or rating or timestamp unreadable"
        steps.by_name["unreadable"] = replace(first, name="unreadable", what=what, dropped=read.unreadable)
    return steps


def _filtered(read: Interactions, settings: Settings, path: Path, steps: Steps) -> Interactions:
    periods = sorted(to_time(date) for date in (settings.validation_after, settings.test_after) if date)
    kept = filtering.merge_duplicates(read, settings.duplicates, periods)
    if repeated := len(read) - len(kept):
        _log.info("dropped %s repeated pairs of user and item; the %s was kept", f"{repeated:,}", settings.duplicates)
    steps.add("duplicates", f"Repeated pairs of user and item ({settings.duplicates} kept)", kept.user, kept.item)
    if kept.rating is None and settings.min_rating:
        raise InputError(
            f"{path}: min_rating is {settings.min_rating:g}, but there is no rating column; name it with rating_column"
        )
    if kept.rating is not None and not (kept.rating >= np.float32(settings.min_rating)).any():
        raise InputError(
            f"{path}: min_rating is {settings.min_rating:g}, but the highest rating is {kept.rating.max():g}"
        )
    kept = filtering.at_least(kept, settings.min_rating)
    steps.add("low_rating", f"Rated below {settings.min_rating:g}", kept.user, kept.item)
    minima = {"users": settings.min_user_interactions, "items": settings.min_item_interactions}
    largest = {"users": int(np.bincount(kept.user).max()), "items": int(np.bincount(kept.item).max())}

    def report(name: str, remaining: Interactions) -> None:
        what = f"Of {name} with fewer than {minima[name]} interactions"
        steps.add(f"short_{name}", what, remaining.user, remaining.item)

    for name in minima:
        report(name, kept)
    kept = filtering.core(kept, minima["users"], minima["items"], report)
    if not len(kept):
        raise InputError(
            f"{path}: nothing is left with min_user_interactions {minima['users']} and min_item_interactions "
            f"{minima['items']}: a user has at most {largest['users']} interactions, "
            f"an item at most {largest['items']}; lower them"
        )
    require_two_items(path, [kept.item_ids[index] for index in {int(kept.item.min()), int(kept.item.max())}])
    return kept


def _split(kept: Interactions, settings: Settings) -> Split:
    if settings.split == "leave_one_out":
        return split.leave_one_out(kept, settings.seed)
    validation = to_time(settings.validation_after) if settings.validation_after else None
    return split.temporal(kept, to_time(settings.test_after), validation, settings.seed)


def _compact(parts: Split, kept: Interactions) -> tuple[list[str], list[str], Split]:
    """Ids and split with new indices, from 0, of the remaining users and items.

    They keep their order, but those that came after training are the last.
    """
    ids, indices, later = [], [], parts.part == split.LATER
    for index, names in ((parts.user, kept.user_ids), (parts.item, kept.item_ids)):
        counts = np.bincount(index, minlength=len(names))
        used, before = counts > 0, counts > np.bincount(index[later], minlength=len(names))
        numbers = np.concatenate([np.flatnonzero(before), np.flatnonzero(used & ~before)])
        renumbered = np.empty(len(names), np.int32)
        renumbered[numbers] = np.arange(len(numbers), dtype=np.int32)
        ids.append([names[number] for number in numbers.tolist()])
        indices.append(renumbered[index])
    return ids[0], ids[1], replace(parts, user=indices[0], item=indices[1]).by_user()


def require_two_items(path: Path, item_ids: Sequence[str]) -> None:
    if len(item_ids) < 2:
        raise InputError(f"{path}: only one item, '{item_ids[0]}', is left; a ranking needs two or more")


def prepared(
    parts: Split,
    user_ids: Sequence[str],
    item_ids: Sequence[str],
    titles: Path | None,
    settings: Settings,
    steps: Steps,
    notes: list[str],
    time: NDArray[np.int64] | None,
    files: Sequence[str],
    profile: Profile,
    test_negatives: NDArray[np.int32] | None = None,
) -> Prepared:
    names = None
    if titles is not None and settings.title_column.lower() != OFF:
        names = read_titles(titles, item_ids, settings.item_column, settings.title_column, settings.title_item_column)
        files = [*files, titles.name]
        titled = sum(map(bool, names))
        _log.info("read titles of %s of %s items from %s", f"{titled:,}", f"{len(names):,}", titles.name)
        if titled < _LEAST_TITLED * len(names):
            note = f"{titles.name} has a title for only {titled:,} of the {len(names):,} items; the others have none."
            _log.warning("%s", note)
            notes = [*notes, note]
    _check_lengths(files, {"user": user_ids, "item": item_ids})
    dataset = parts.dataset(user_ids, item_ids, names, test_negatives)
    held_out = np.zeros(dataset.n_users, bool)
    held_out[dataset.test[:, 0]] = True
    return Prepared(dataset, list(steps.by_name.values()), notes, time, files, int((~held_out).sum()), profile)


def _check_lengths(files: Sequence[str], ids: Mapping[str, Sequence[str]]) -> None:
    """Refuse ids that the endpoint and batch cannot be asked for.

    Args:
        files: names of the files.
        ids: raw ids, by role.
    """
    for role, names in ids.items():
        if long := next((name for name in names if len(name) > MAX_ID_LENGTH), ""):
            raise InputError(
                f"{', '.join(files[:3])}: {role} id '{long[:40]}...' has {len(long):,} characters; expected "
                f"{MAX_ID_LENGTH} at most, as the endpoint accepts no longer ids (parameter '{role}_column' names the "
                "column of ids)"
            )
