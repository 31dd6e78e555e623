"""Settings of the baselines are chosen on validation positives, over the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation import baselines, catalogue, ease, metrics, tuning
from ncf.evaluation.item_knn import item_knn
from ncf.evaluation.rankers import ItemToItem
from ncf.evaluation.tuning import Validation, climb


@pytest.mark.parametrize(
    ("scores", "start", "best", "tried"),
    [
        ([1, 2, 3, 2, 9], 1, 2, 3),  # up, and not beyond the first hill
        ([5, 4, 3, 2, 1], 2, 0, 4),  # down to the end
        ([1, 2, 3, 4, 5], 3, 4, 2),
        ([1, 1, 1, 1, 1], 2, 2, 3),  # of equal ones the first that was tried
    ],
)
def test_the_search_follows_rising_scores(scores: Sequence[float], start: int, best: int, tried: int) -> None:
    calls: list[float] = []

    def score(value: float) -> float:
        calls.append(value)
        return scores[int(value)]

    assert climb(range(5), start, score) == best
    assert len(calls) == len(set(calls)) == tried


def tastes(seed: int = 0, n_users: int = 300, n_items: int = 60) -> Validation:
    """Users of six tastes with ten items each, some of them any item, and one or two held-out items."""
    rng = np.random.default_rng(seed)
    train, held_out = [], []
    for user in range(n_users):
        weights = np.where(np.arange(n_items) % 6 == user % 6, 8.0, 1.0)
        items = rng.choice(n_items, 12, replace=False, p=weights / weights.sum())
        held_out += [(user, item) for item in sorted(items[: 1 + user % 2])]
        train += [(user, item) for item in items[2:]]
    users, items = np.array(train, np.int32).T
    by_user = ItemsByUser.of(users, items, n_users)
    return Validation(by_user, by_user, n_items, np.array(held_out, np.int32))


def test_the_score_is_that_of_the_evaluation() -> None:
    validation = tastes()
    (ranker,) = item_knn(validation.train, 60, 20)
    users = np.unique(validation.positives[:, 0])
    found = catalogue.rank({"x": ranker}, validation.train, 60, validation.positives, users)["x"].ranked
    assert validation.ndcg(ranker) == pytest.approx(metrics.user_ndcg(found, 10).mean())


def test_the_regularisation_of_ease_is_a_local_best() -> None:
    validation = tastes()
    unit = 50.0  # 3,000 interactions with 60 items

    def ndcg(regularisation: float) -> float:
        return validation.ndcg(ItemToItem(ease.ease_weights(validation.train, 60, regularisation), validation.train))

    found = tuning.regularisation_of_ease(validation)
    place = tuning._FACTORS.index(found / unit)
    near = [factor * unit for factor in tuning._FACTORS[max(place - 1, 0) : place + 2]]
    assert ndcg(found) == max(map(ndcg, near))


def test_of_many_items_the_most_popular_choose_the_regularisation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TUNING_EASE_ITEMS", 20)
    validation = tastes()
    popularity = np.bincount(validation.train.items, minlength=60)
    most = np.sort(np.argsort(-popularity, kind="stable")[:20]).astype(np.int32)
    some = validation.of_items(most)
    for user in (0, 7):
        own = validation.train.of_user(user)
        assert most[some.train.of_user(user)].tolist() == own[np.isin(own, most)].tolist()
    kept = validation.positives[np.isin(validation.positives[:, 1], most)]
    assert np.column_stack([some.positives[:, 0], most[some.positives[:, 1]]]).tolist() == kept.tolist()
    assert tuning.regularisation_of_ease(validation) == pytest.approx(tuning.regularisation_of_ease(some))


def test_the_regularisation_of_sparse_ease_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_SUPPORT", 20)
    validation = tastes()
    scores = [validation.ndcg(ease.sparse_ease(validation.train, 60, [50 * one])[0]) for one in tuning._FACTORS]
    best = tuning._FACTORS[int(np.argmax(scores))]
    assert tuning.regularisation_of_sparse_ease(validation) == pytest.approx(50 * best)
    monkeypatch.setattr(tuning, "TUNING_SPARSE_EASE_ITEMS", 30)
    some = validation.of_most_popular(30)
    found = [tuning.regularisation_of_sparse_ease(one) for one in (validation, some)]
    assert found[0] == found[1]


def test_a_part_of_the_users_needs_less_regularisation(monkeypatch: pytest.MonkeyPatch) -> None:
    validation = tastes()
    half = validation.train.of_users(np.arange(0, 300, 2))
    found = tuning.regularisation_of_ease(Validation(validation.train, half, 60, validation.positives))
    assert found / (len(half.items) / 60) / 2 in tuning._FACTORS, "lambda is that of all users"


def test_item_knn_takes_the_best_of_its_settings() -> None:
    validation = tastes(n_items=200)
    neighbours, shrinkage = tuning.settings_of_item_knn(validation)

    def ndcg(neighbours: int, shrinkage: float) -> float:
        return validation.ndcg(item_knn(validation.train, 200, neighbours, [shrinkage])[0])

    of_neighbours = [ndcg(one, 0) for one in tuning._NEIGHBOURS]
    assert neighbours == tuning._NEIGHBOURS[int(np.argmax(of_neighbours))]
    of_shrinkages = [ndcg(neighbours, one) for one in tuning._SHRINKAGES]
    assert shrinkage == tuning._SHRINKAGES[int(np.argmax(of_shrinkages))]


def test_validation_users_are_drawn_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tastes()
    monkeypatch.setattr(tuning, "TUNING_USERS", 50)
    one, two, other = (Validation.drawn(whole.train, whole.train, 60, whole.positives, seed) for seed in (1, 1, 2))
    assert one.n_users == 50
    assert one.positives.tolist() == two.positives.tolist() != other.positives.tolist()
    rows = np.isin(whole.positives[:, 0], one.positives[:, 0])
    assert one.positives.tolist() == whole.positives[rows].tolist()


def test_what_is_chosen_is_fitted_on_training_and_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(n_users=40, n_items=30)
    held_out = np.stack([np.arange(40), model.train.items[model.train.offsets[:-1]]], axis=1).astype(np.int32)
    keys = model.train.users().astype(np.int64) * 100 + model.train.items
    kept = ~np.isin(keys, held_out[:, 0].astype(np.int64) * 100 + held_out[:, 1])
    before = ItemsByUser.of(model.train.users()[kept], model.train.items[kept], 40)
    asked: list[Validation] = []

    def lowest(validation: Validation) -> float:
        asked.append(validation)
        return 7.0

    monkeypatch.setattr(baselines, "regularisation_of_ease", lowest)
    monkeypatch.setattr(baselines, "settings_of_item_knn", lambda _: (2, 10.0))
    found = baselines.fit(model.train, 30, before, held_out)
    assert asked[0].train is before
    assert found.chosen_on == 40
    assert found.settings == {"ease": {"regularisation": 7.0}, "item_knn": {"neighbours": 2, "shrinkage": 10.0}}
    expected = ItemToItem(ease.ease_weights(model.train, 30, 7.0), model.train).score_all(np.arange(40))
    assert found.rankers["ease"].score_all(np.arange(40)) == pytest.approx(expected)
    (knn,) = item_knn(model.train, 30, 2, [10.0])
    assert found.rankers["item_knn"].score_all(np.arange(40)) == pytest.approx(knn.score_all(np.arange(40)))
