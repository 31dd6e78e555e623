"""The diff of two models: their lists are what each would serve, and its counts are those of the lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from evaluate_stage import make
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.samples import Samples
from ncf.artifacts.strings import Strings
from ncf.evaluation import champion
from ncf.evaluation.champion import Champion
from ncf.evaluation.diff import Diff, diff
from ncf.evaluation.evaluation import compare
from ncf.evaluation.summary import summarise_champion
from ncf.models.ranker import NO_ITEM
from ncf.serving.recommender import Recommender

N_USERS, N_ITEMS = 60, 80


def model_of(name: str = "gmf", seed: int = 0, **sizes: int) -> ModelFolder:
    return random_model(name, **{"n_users": N_USERS, "n_items": N_ITEMS, "seed": seed, **sizes})


def renamed(model: ModelFolder, users: int, items: int) -> ModelFolder:
    """The model, with ids from these numbers on: it shares the others with :func:`model_of`."""
    return replace(
        model,
        user_ids=Strings.of(f"u{users + user}" for user in range(N_USERS)),
        item_ids=Strings.of(f"i{items + item}" for item in range(N_ITEMS)),
        item_titles=Strings.of(f"Title {items + item}" for item in range(N_ITEMS)),
    )


def reordered(model: ModelFolder, seed: int = 0) -> ModelFolder:
    """The same model with its users and items in another order."""
    rng = np.random.default_rng(seed)
    users, items = rng.permutation(N_USERS), rng.permutation(N_ITEMS)

    def grouped(old: ItemsByUser) -> ItemsByUser:
        place = np.argsort(items).astype(np.int32)
        rows = [place[old.of_user(user)] for user in users.tolist()]
        counts = [len(row) for row in rows]
        return ItemsByUser.of_sorted(
            np.repeat(np.arange(N_USERS, dtype=np.int32), counts), np.concatenate(rows), N_USERS
        )

    assert model.item_titles is not None
    tables = {"user_gmf.weight": users, "item_gmf.weight": items, "item_bias.weight": items}
    return replace(
        model,
        weights={name: weight[tables[name]] if name in tables else weight for name, weight in model.weights.items()},
        user_ids=Strings.of(model.user_ids[user] for user in users.tolist()),
        item_ids=Strings.of(model.item_ids[item] for item in items.tolist()),
        item_titles=Strings.of(model.item_titles[item] for item in items.tolist()),
        train=grouped(model.train),
        seen=grouped(model.seen),
        popularity=model.popularity[items],
    )


def ids(found: Diff, row: np.ndarray) -> list[str]:
    """Titles of a list; the IDs are the titles' numbers."""
    return [
        f"i{found.title(item).removeprefix('Title ').removeprefix('i')}" for item in row.tolist() if item != NO_ITEM
    ]


@pytest.mark.parametrize("name", ["gmf", "neumf", "history"])
def test_lists_are_those_of_the_endpoint(name: str) -> None:
    """Also of items that one model alone knows, and of the weights that are hosted."""
    before = renamed(model_of(name, seed=1), users=20, items=30)
    after = replace(model_of(name), hosted_weights=model_of(name, seed=2).weights)
    found = diff(before, after, 1000, 0)
    users = [after.user_ids[user] for user in found.users.tolist()]
    assert users == [f"u{user}" for user in range(20, N_USERS)]
    for model, lists in ((before, found.lists_before), (after, found.lists_after)):
        served = Recommender(model).recommend(users, 10)
        assert [entry["source"] for entry in served] == ["model"] * 40
        assert [ids(found, row) for row in lists] == [[item["item"] for item in entry["items"]] for entry in served]
    for row in range(len(users)):
        one, other = (set(ids(found, lists[row])) for lists in (found.lists_before, found.lists_after))
        assert found.shared[row] == len(one & other)
    assert (found.known_users, found.only_before, found.only_after) == (40, 20, 20)
    assert {found.title(item) for item in range(found.n_items)} >= {"Title 109", "Title 1", "i0"}


@pytest.mark.parametrize("name", ["gmf", "history"])
def test_equal_models_in_another_order_change_no_list(name: str) -> None:
    model = model_of(name)
    found = diff(reordered(model), model, 1000, 0)
    assert found.unchanged.all()
    assert not found.reordered.any()
    assert not found.replaced.any()
    assert found.values() == {"list_overlap_at_10": 1, "lists_unchanged": 1, "lists_replaced": 0}
    assert found.changes(5, gains=True) == found.changes(5, gains=False) == []
    assert found.seen_since == 0


def test_the_same_items_in_another_order_are_a_change() -> None:
    model = model_of(n_items=12, positives=2)
    other = model_of(seed=3, n_items=12, positives=2)
    found = diff(replace(model, weights=other.weights), model, 1000, 0)  # each list has the ten items that are left
    assert (found.overlap == 1).all()
    assert found.reordered.sum() == (~found.unchanged).sum() > N_USERS / 2
    assert found.values()["lists_unchanged"] < 0.5


def test_lists_of_few_items() -> None:
    model = model_of(n_items=9, positives=3)
    found = diff(replace(model, weights=model_of(seed=1, n_items=9, positives=3).weights), model, 1000, 0)
    assert ((found.lists_after != NO_ITEM).sum(1) == 6).all()
    assert (found.shared == 6).all()
    assert (found.overlap == 1).all()


def test_users_are_drawn_by_seed() -> None:
    models = model_of(seed=1), model_of()
    first, again, other = (diff(*models, 20, seed) for seed in (0, 0, 1))
    assert first.users.tolist() == again.users.tolist() == sorted(set(first.users.tolist()))
    assert len(first.users) == 20
    assert first.known_users == N_USERS
    assert first.users.tolist() != other.users.tolist()
    assert first.examples(0) == again.examples(0)


def test_changes_are_those_of_the_counts() -> None:
    found = diff(model_of(seed=1), model_of(), 1000, 0)
    before, after = found.exposure(found.lists_before), found.exposure(found.lists_after)
    assert before.sum() == after.sum() == 10 * N_USERS
    gains, losses = found.changes(N_ITEMS, gains=True), found.changes(N_ITEMS, gains=False)
    assert sum(change.after - change.before for change in [*gains, *losses]) == 0
    assert {change.item for change in gains} == set(np.flatnonzero(after > before).tolist())
    assert [change.after - change.before for change in gains] == sorted((after - before)[after > before])[::-1]
    assert all(change.before == before[change.item] and change.after == after[change.item] for change in losses)


def test_what_a_user_has_had_since_is_counted() -> None:
    before = model_of(seed=1)
    first = diff(before, model_of(), 1000, 0)
    top = first.lists_before[:, 0]  # in the index of both
    after = model_of()
    after = replace(after, seen=after.seen.union(first.users, top))
    found = diff(before, after, 1000, 0)
    expected = sum(
        len(set(row.tolist()) & set(after.seen.of_user(user).tolist()))
        for user, row in zip(found.users.tolist(), found.lists_before, strict=True)
    )
    assert found.seen_since == expected >= N_USERS
    assert not (found.lists_after == top[:, None]).any()


def test_groups_cover_all_users_and_add_up() -> None:
    model = random_model("gmf", n_users=N_USERS, n_items=N_ITEMS)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(N_ITEMS)[: 2 + user] for user in range(N_USERS)]
    users = np.repeat(np.arange(N_USERS, dtype=np.int32), [len(row) for row in rows])
    train = ItemsByUser.of(users, np.concatenate(rows).astype(np.int32), N_USERS)
    found = diff(model_of(seed=1), replace(model, train=train), 1000, 0)
    groups = found.of_groups(None, 100, 0)
    assert [group.users for group in groups] == [16, 15, 15, 14]
    assert groups[0].name == "2 – 17"
    assert sum(group.users * group.overlap for group in groups) == pytest.approx(found.overlap.sum())
    assert sum(group.replaced for group in groups) == found.replaced.sum()
    assert [group.ndcg for group in groups] == [None] * 4


def test_examples_are_spread_over_the_overlap() -> None:
    model = model_of("history", history=0, n_items=25)
    noise = {
        name: weight + 0.2 * model_of("history", seed=4, history=0, n_items=25).weights[name]
        for name, weight in model.weights.items()
    }
    found = diff(replace(model, weights=noise), model, 1000, 0)
    levels = found.shared[found.examples(0)]
    assert len(levels) == 20
    assert set(levels.tolist()) == set(found.shared.tolist()), "each number of shared items"
    assert levels.tolist() == sorted(levels.tolist())


def test_models_without_a_common_user() -> None:
    found = diff(renamed(model_of(), users=N_USERS, items=0), model_of(), 1000, 0)
    assert (len(found.users), found.known_users, found.only_before, found.only_after) == (0, 0, N_USERS, N_USERS)
    assert found.values() == {}
    assert found.of_groups(None, 100, 0) == []
    assert found.examples(0) == []


def test_metrics_by_activity_are_those_of_the_comparison(tmp_path: Path) -> None:
    """Also of users who are no quarter's own: test users and users of the lists share their groups."""
    model, drawn = make(tmp_path / "after")
    after, samples = ModelFolder.load(model), Samples.load(drawn)
    before = ModelFolder.load(make(tmp_path / "before", good=False)[0])
    with patch.object(champion, "MIN_COMPARABLE", 10):
        comparison, reason = compare(after, Champion(before, after, "before"), samples, 30, 0)
    assert comparison is not None
    assert (reason, len(comparison.users)) == ("", 30)
    groups = diff(before, after, 25, 0).of_groups(comparison, 100, 0)
    assert sum(group.users for group in groups) == 25
    assert [group.ndcg for group in groups] == [(1, 1, 1)] * len(groups), "first before last, for each user"
    assert summarise_champion(comparison, 100, 0).gains["full_ndcg_at_10"] == (1, 1, 1)
