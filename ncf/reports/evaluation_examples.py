"""The section on recommendations of the evaluation report: titles for some users, beside their history."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation.examples import Example
from ncf.reports.html import Section, Table
from ncf.reports.numbers import count

_MAX_TITLES = 3


def examples_section(model: ModelFolder, examples: Sequence[Example]) -> Section:
    """A table for each user: the latest history and the recommendations, by title.

    Args:
        model: the evaluated model.
        examples: of the model.
    """
    has_days = all(example.days is not None for example in examples)
    history = "the latest interactions first" if has_days else "in no order, as the data have no timestamps"
    text = (
        f"One user of each quarter of users by activity. History: up to ten training interactions, {history}. "
        "Recommended: the first ten items of the model; ✓ marks a test item of the user."
    )
    return Section("Recommendations for some users", [text], tables=[_table(model, example) for example in examples])


def _table(model: ModelFolder, example: Example) -> Table:
    test = set(example.test.tolist())
    history = [_title(model, item) for item in example.history.tolist()]
    recommended = [f"{_title(model, item)}{' ✓' if item in test else ''}" for item in example.recommended.tolist()]
    return Table(
        ("history", "recommended"), list(zip_longest(history, recommended, fillvalue="")), _caption(model, example)
    )


def _caption(model: ModelFolder, example: Example) -> str:
    latest = (
        f", the latest on {np.datetime64(int(example.days[0]), 'D')}"
        if example.days is not None and len(example.days)
        else ""
    )
    titles = [_title(model, item) for item in example.test.tolist()]
    more = f" and {count(len(titles) - _MAX_TITLES)} more" if len(titles) > _MAX_TITLES else ""
    items = f"test item{'s' if len(titles) > 1 else ''}: {', '.join(titles[:_MAX_TITLES])}{more}"
    return f"User {model.user_ids[example.user]}: {count(example.interactions)} interactions{latest}; {items}"


def _title(model: ModelFolder, item: int) -> str:
    """The title of an item; its ID if it has none."""
    return (model.item_titles[item] if model.item_titles is not None else "") or model.item_ids[item]
