"""Large catalogues: what is retrieved, and what of the best items is missed."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_model import enlarged, random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelFolder
from ncf.data import synthetic
from ncf.models import ranker as ranker_module
from ncf.models.limits import CANDIDATES
from ncf.models.ranker import NO_ITEM, Ranker
from ncf.models.retriever import Retriever
from ncf.models.scorer import Scorer
from ncf.stage.execution import run

MODELS = ("gmf", "mlp", "neumf", "history")
LARGE = 10_000


@pytest.fixture(autouse=True)
def retrieves_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranker_module, "EXACT_UP_TO", 0)


def exact_top(ranker: Ranker, users: NDArray, k: int, exclude: ItemsByUser | None = None) -> list[list[int]]:
    every = ranker.scorer.score_all(users)
    if exclude is not None:
        for row, user in enumerate(users):
            every[row, exclude.of_user(user)] = -np.inf
    return np.argsort(-every, axis=1, kind="stable")[:, :k].tolist()


def recall(ranker: Ranker, users: NDArray, k: int, exclude: ItemsByUser | None = None) -> float:
    found = ranker.top_k(users, k, exclude)[0].tolist()
    expected = exact_top(ranker, users, k, exclude)
    hits = [len(set(one) & set(other)) for one, other in zip(found, expected, strict=True)]
    return sum(hits) / (k * len(users))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFolder]:
    """Models fitted on generated data, by name."""
    pytest.importorskip("torch")
    from ncf.stages.negative_sampling import NegativeSampling
    from ncf.stages.preprocess import Preprocess
    from ncf.training.fit import Fit

    folder = tmp_path_factory.mktemp("trained")
    synthetic.write(folder, 300, 250, 10_000)
    data, samples = f"--dataset={folder}/dataset", f"--samples={folder}/samples"
    report = [f"--report={folder}/report.html", f"--metrics={folder}/data.json"]
    run(Preprocess, [f"--interactions={folder}/interactions.csv", data, *report])
    run(NegativeSampling, [data, samples])
    models = {}
    for name in MODELS:
        outputs = [f"--trained-model={folder}/{name}", f"--metrics={folder}/{name}.json"]
        quick = ["--model", name, "--epochs=5", "--batch-size=2000", "--learning-rate=0.02", "--device=cpu"]
        run(Fit, [data, samples, *outputs, *quick])
        models[name] = ModelFolder.load(folder / name)
    return models


@pytest.mark.parametrize("name", MODELS)
def test_of_the_best_items_of_a_trained_model_hardly_any_is_missed(trained: dict[str, ModelFolder], name: str) -> None:
    model = trained[name]
    ranker = Ranker(*enlarged(model.config, model.weights, LARGE), histories=model.train)
    users = np.arange(0, model.config.n_users, 30)
    nearest = exact_top(ranker, users, 40)
    best_as_seen = ItemsByUser.of(  # the best items are seen: they must not displace unseen candidates
        np.repeat(users, 40).astype(np.int32), np.array(nearest, np.int32).ravel(), model.config.n_users
    )
    assert recall(ranker, users, 10) >= 0.99
    assert recall(ranker, users, 100, best_as_seen) >= 0.99
    retrieved = [len(candidates) for candidates in ranker.retrieve(users, 10, best_as_seen)]
    assert max(retrieved) < LARGE / 2, "only a part is scored exactly"


@pytest.mark.parametrize("name", MODELS)
def test_random_weights_are_found_out(name: str) -> None:
    """They are the worst case: what is retrieved grows until the best are among it."""
    model = random_model(name, 300, 4000, factors=8, tower=(32, 16, 8))
    ranker = Ranker(model.config, model.weights, 20, model.train)
    assert recall(ranker, np.arange(300), 10, model.seen) >= 0.97
    assert Retriever(ranker.scorer, 20).candidates > 20 or name in ("gmf", "history")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_users", [1, 3, 16, 17, 20, 64, 65, 70, 200, 256, 257, 263, 264, 300])
def test_who_it_is_tested_on_took_no_part_in_the_fit(name: str, n_users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(name, n_users, 300, factors=4, tower=(8, 4))
    fitted, tested = list[int](), list[int]()
    tower = Scorer.tower

    def recorded(self: Scorer, users: NDArray, items: NDArray | slice) -> NDArray:
        if not tested:
            fitted.extend(users.tolist())
        return tower(self, users, items)

    monkeypatch.setattr(Scorer, "tower", recorded)
    monkeypatch.setattr(Retriever, "_probe", lambda _, users: tested.extend(users.tolist()))
    Retriever(Scorer(model.config, model.weights, model.train))
    most = {"gmf": 0, "mlp": 64, "neumf": 16, "history": 0}[name]
    assert not set(fitted) & set(tested)
    assert len(set(tested)) == len(tested) == min(8, max(0, n_users - most))
    assert len(set(fitted)) == (min(256, n_users - len(tested)) if most else 0)


@pytest.mark.parametrize("name", ["mlp", "neumf"])
def test_where_all_users_are_landmarks_their_scores_are_exact(name: str) -> None:
    model = random_model(name, 16, 4000, factors=8, tower=(32, 16, 8))
    ranker = Ranker(model.config, model.weights, 20, model.train)
    near, exact = Retriever(ranker.scorer, 20).scores(np.arange(16)), ranker.scorer.score_all(np.arange(16))
    difference = near - exact
    assert (difference.max(1) - difference.min(1) < 1e-3 * exact.std(1)).all()


def test_few_users_do_not_hide_that_more_candidates_are_needed() -> None:
    """Of 72 users 64 are landmarks, whose scores are exact; the others' are not."""
    model = random_model("mlp", 72, 4000, tower=(32, 16, 8))
    ranker = Ranker(model.config, model.weights, 20, model.train)
    assert Retriever(ranker.scorer, 20).candidates > 100
    assert recall(ranker, np.arange(72), 10) >= 0.97


@pytest.mark.parametrize("name", MODELS)
def test_a_tower_that_never_bends_is_an_inner_product(name: str) -> None:
    model = random_model(name, 60, 3000, factors=8, tower=(24, 12, 6))
    bent = {
        key: array + 50 if key.endswith(".bias") and "tower" in key else array for key, array in model.weights.items()
    }
    positive = {key: np.abs(array) if key.startswith("tower") else array for key, array in bent.items()}
    ranker = Ranker(model.config, positive, histories=model.train)
    near = Retriever(ranker.scorer).scores(np.arange(60))
    exact = ranker.scorer.score_all(np.arange(60))
    difference = near - exact
    spread = (difference - difference.mean(1, keepdims=True)).std(1)
    assert (spread < 1e-3 * exact.std(1)).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_scores_are_exact_and_nothing_excluded_comes(name: str) -> None:
    model = random_model(name, 30, 5000, positives=200)
    ranker = Ranker(model.config, model.weights, histories=model.train)
    users = np.array([3, 29, 3, 0])
    items, scores = ranker.top_k(users, 15, model.seen)
    np.testing.assert_allclose(scores, ranker.scorer.score_pairs(users, items), rtol=1e-5, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    for user, row in zip(users, items, strict=True):
        assert not set(row.tolist()) & set(model.seen.of_user(user).tolist())
        assert len(set(row.tolist())) == 15


@pytest.mark.parametrize("history", [0, 5])
def test_retrieval_is_exact_for_a_user_that_is_a_history(history: int) -> None:
    model = random_model("history", 30, 20_000, factors=8, positives=40, history=history)
    ranker = Ranker(model.config, model.weights, histories=model.train)
    users = np.arange(30)
    assert ranker.top_k(users, 50, model.seen)[0].tolist() == exact_top(ranker, users, 50, model.seen)
    of_three = ranker.with_histories(model.seen.of_users(np.array([3, 8, 9])))
    alone = Scorer(model.config, model.weights, model.seen)
    items, scores = of_three.top_k(np.arange(3), 10)
    assert items.tolist() == np.argsort(-alone.score_all(np.array([3, 8, 9])), axis=1, kind="stable")[:, :10].tolist()
    np.testing.assert_allclose(scores, alone.score_pairs(np.array([3, 8, 9]), items), rtol=1e-5, atol=1e-5)
    assert ranker.top_k(users, 50, model.seen)[0].tolist() == exact_top(ranker, users, 50, model.seen)


def test_where_all_but_a_few_are_excluded_these_come() -> None:
    model = random_model("neumf", 3, 4000)
    left = {0: [], 1: [7, 3999], 2: list(range(100, 180))}
    pairs = [(user, item) for user, kept in left.items() for item in range(4000) if item not in kept]
    exclude = ItemsByUser.of(*np.array(pairs, np.int32).T, 3)
    items, scores = Ranker(model.config, model.weights, histories=model.train).top_k(np.arange(3), 20, exclude)
    found = [[item for item in row if item != NO_ITEM] for row in items.tolist()]
    assert found[0] == []
    assert sorted(found[1]) == [7, 3999]
    assert len(found[2]) == 20
    assert set(found[2]) <= set(left[2])
    assert np.array_equal(items == NO_ITEM, np.isneginf(scores))


def test_equal_scores_come_in_the_order_of_the_items() -> None:
    model = random_model("neumf", 2, 5000)
    items = {name: np.zeros_like(model.weights[name]) for name in ("item_gmf.weight", "item_mlp.weight")}
    ranker = Ranker(model.config, {**model.weights, **items})
    assert ranker.top_k(np.array([0, 1]), 5)[0].tolist() == [[0, 1, 2, 3, 4]] * 2


@settings(max_examples=15, deadline=None)
@given(split=st.lists(st.integers(1, 8), min_size=1, max_size=5), name=st.sampled_from(MODELS), k=st.integers(1, 50))
def test_answers_do_not_depend_on_who_else_is_asked_for(split: list[int], name: str, k: int) -> None:
    model = random_model(name, 40, 3000, factors=8, tower=(16, 8))
    users = np.random.default_rng(k).integers(0, 40, sum(split))
    together = Ranker(model.config, model.weights, histories=model.train).top_k(users, k, model.seen)
    other = Ranker(model.config, model.weights, histories=model.train)
    apart = [other.top_k(part, k, model.seen) for part in np.split(users, np.cumsum(split)[:-1])]
    assert np.array_equal(together[0], np.concatenate([items for items, _ in apart]))
    assert np.array_equal(together[1], np.concatenate([scores for _, scores in apart]))


def test_threads_share_what_one_of_them_prepares() -> None:
    model = random_model("neumf", 50, 20_000)
    ranker = Ranker(model.config, model.weights, histories=model.train)
    expected = Ranker(model.config, model.weights, histories=model.train).top_k(np.arange(50), 10)[0].tolist()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda user: ranker.top_k(np.array([user]), 10)[0][0].tolist(), range(50)))
    assert found == expected


def test_all_is_scored_where_that_is_hardly_more() -> None:
    model = random_model("mlp", 5, CANDIDATES)
    ranker = Ranker(model.config, model.weights, histories=model.train)
    assert list(ranker.retrieve(np.arange(5), 10)) == [slice(0, CANDIDATES)] * 5
    wide = random_model("mlp", 5, 5000)
    assert list(Ranker(wide.config, wide.weights).retrieve(np.arange(1), 2000)) == [slice(0, 5000)]


def test_memory_is_bounded_however_many_users_are_asked_for() -> None:
    model = random_model("neumf", 20, 40_000, factors=4, tower=(8, 4), positives=1)
    ranker = Ranker(model.config, model.weights, histories=model.train)
    users = np.resize(np.arange(20), 3000)
    ranker.top_k(users[:1], 10)
    tracemalloc.start()
    ranker.top_k(users, 10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table = 3000 * 40_000 * 4
    assert peak < 50e6 < table / 8
