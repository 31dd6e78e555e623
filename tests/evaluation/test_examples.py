"""Examples of recommendations: one user of each quarter, the latest history, nothing that the model was fitted on."""

from __future__ import annotations

import dataclasses

import numpy as np
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.evaluation.examples import examples
from ncf.reports.evaluation_examples import examples_section

TEST = np.array([[user, 30 + user % 5] for user in range(8)], np.int32)


def model_with_days(days: bool = True) -> ModelFolder:
    """User ``u`` of 8 has ``3 * u + 3`` training items, from 0 on, each a day earlier than the one before, and a test item.

    Positives are in order of time, or of items without times.
    """
    counts = 3 * np.arange(8) + 3
    users = np.repeat(np.arange(8, dtype=np.int32), counts)
    items = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    order = np.lexsort((-items if days else items, users))
    train = ItemsByUser.of_sorted(users, items[order], 8)
    rows = [np.append(train.of_user(user), TEST[user, 1]) for user in range(8)]
    seen = ItemsByUser.of_sorted(np.repeat(np.arange(8, dtype=np.int32), counts + 1), np.concatenate(rows), 8)
    of_test = np.isin(seen.users().astype(np.int64) * 100 + seen.items, TEST[:, 0].astype(np.int64) * 100 + TEST[:, 1])
    seen_days = np.where(of_test, 1000, 500 - seen.items).astype(np.int32)
    model = random_model(n_users=8, n_items=40)
    return dataclasses.replace(model, train=train, seen=seen, seen_days=seen_days if days else None)


def test_users_of_each_quarter_by_activity() -> None:
    found = examples(model_with_days(), TEST)
    assert [example.user for example in found] == [1, 3, 5, 7]
    assert [example.interactions for example in found] == [6, 12, 18, 24]
    assert [example.test.tolist() for example in found] == [[31], [33], [30], [32]]


def test_the_latest_interactions_come_first_and_the_test_item_is_none_of_them() -> None:
    (*_, last) = examples(model_with_days(), TEST)
    assert last.history.tolist() == list(range(10))
    assert last.days is not None
    assert last.days.tolist() == [500 - item for item in range(10)]
    (*_, untimed) = examples(model_with_days(days=False), TEST)
    assert untimed.days is None
    assert untimed.history.tolist() == list(range(10))


def test_recommendations_are_the_scorers_without_what_the_model_was_fitted_on() -> None:
    model = model_with_days()
    for example in examples(model, TEST):
        fitted_on = set(model.train.of_user(example.user).tolist())
        assert not fitted_on & set(example.recommended.tolist())
        assert len(example.recommended) == 10


def test_few_users_or_items_give_fewer() -> None:
    model = model_with_days()
    (only,) = examples(model, TEST[:1])
    assert only.user == 0
    everything = ItemsByUser.of(np.zeros(38, np.int32), np.arange(2, 40, dtype=np.int32), 8)
    (few,) = examples(dataclasses.replace(model, train=everything, seen_days=None), TEST[:1])
    assert set(few.recommended.tolist()) == {0, 1}


def test_a_user_without_interactions_has_a_caption() -> None:
    nothing = ItemsByUser.of(np.empty(0, np.int32), np.empty(0, np.int32), 8)
    model = dataclasses.replace(model_with_days(), train=nothing)
    section = examples_section(model, examples(model, TEST[:1]))
    assert section.tables[0].caption == "User u0: 0 interactions; test item: Title 30"
