"""Preparation of a data set from a folder in the NCF release format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ncf.artifacts.profile import Profile
from ncf.data.notes import LEAK
from ncf.data.preparation import Prepared, Settings, prepared, require_two_items
from ncf.data.release import Release, read_release, split_release
from ncf.data.steps import Step, Steps
from ncf.errors import InputError


def prepare_release(files: Sequence[Path], settings: Settings, titles: Path | None = None) -> Prepared:
    """Prepare a data set from a folder in the NCF release format, with its own test pairs and negatives.

    Args:
        files: of the release, from :func:`ncf.data.release.release_files`.
        settings: parameters.
        titles: table of titles, or None.

    Raises:
        InputError: with the file at fault, or a parameter that does not apply to a release.
    """
    accepted = {"seed", "title_column", "title_item_column", "duplicates", "max_unreadable"}
    for name, value in vars(Settings()).items():
        if name not in accepted and getattr(settings, name) != value:
            raise InputError(
                f"{name} is {getattr(settings, name)!r}, but the data are in the NCF release format, "
                f"whose split, columns and interactions are taken as they are; leave {name} at {value!r}"
            )
    release: Release = read_release(files)
    train, test = release.train, release.test
    steps = Steps()
    remaining = len(train) + release.repeated + release.leaked + len(test)
    users, items = (np.concatenate([part, test[:, column]]) for column, part in enumerate((train.user, train.item)))
    steps.add("read", "Read", users, items)
    read = steps.by_name["read"]
    steps.by_name["read"] = replace(read, interactions=remaining)
    profile = Profile(rows=remaining, users=read.users, items=read.items)
    for name, what, dropped in (
        ("duplicates", "Repeated pairs of user and item", release.repeated),
        ("leaked", "Test pairs found in training", release.leaked),
    ):
        remaining -= dropped
        steps.by_name[name] = Step(name, what, dropped, remaining, read.users, read.items)
    parts = split_release(release, settings.seed)
    require_two_items(files[0].parent, train.item_ids)
    drawn = "is each user's latest" if train.time is not None else f"was drawn by seed {settings.seed}"
    notes = [
        "The data are in the NCF release format: its test pairs are kept, and so are their "
        f"{release.test_negatives.shape[1]} negatives each. The validation item {drawn} among the training "
        f"items"
        f"{'' if train.time is not None else ', since the timestamps tell no order'}.",
        LEAK,
    ]
    return prepared(
        parts, train.user_ids, train.item_ids, titles, settings, steps, notes, None, train.files,
        profile, release.test_negatives,
    )  # fmt: skip
