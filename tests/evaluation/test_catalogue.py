"""Whole-catalogue metrics against torchmetrics and against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model import random_model

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.evaluation import baselines, catalogue, metrics
from ncf.evaluation.lists import Diversity, self_information
from ncf.evaluation.rankers import Popularity

N_USERS, N_ITEMS = 60, 50


class Table:
    """A ranker whose scores are given."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def score_pairs(self, users: Any, items: Any) -> np.ndarray:
        return np.take_along_axis(self.scores[users], items, 1)

    def score_all(self, users: Any) -> np.ndarray:
        return self.scores[users].copy()


def made(positives: int, seed: int = 0) -> tuple[Table, ItemsByUser, np.ndarray]:
    """Scores without ties; each user has 5 training items and 1 to ``positives`` test items."""
    rng = np.random.default_rng(seed)
    train, test = [], []
    for user in range(N_USERS):
        items = rng.permutation(N_ITEMS)
        train += [(user, item) for item in items[:5]]
        test += [(user, item) for item in sorted(items[5 : 5 + rng.integers(1, positives + 1)])]
    users, items = np.array(train, np.int32).T
    return Table(rng.normal(size=(N_USERS, N_ITEMS))), ItemsByUser.of(users, items, N_USERS), np.array(test, np.int32)


@pytest.mark.parametrize("positives", [1, 4, 30])
@pytest.mark.parametrize("cutoff", [1, 5, 10, 20])
def test_metrics_equal_torchmetrics(positives: int, cutoff: int) -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

    ranker, train, test = made(positives)
    ranked = catalogue.rank({"x": ranker}, train, N_ITEMS, test, np.arange(N_USERS))["x"].ranked
    scores, target = ranker.scores + 100, np.zeros((N_USERS, N_ITEMS), bool)  # its recall counts scores above 0 alone
    scores[train.users(), train.items] = 0  # masked: last, and never relevant
    target[test[:, 0], test[:, 1]] = True
    flat = torch.tensor(scores).flatten(), torch.tensor(target).flatten()
    index = torch.arange(N_USERS).repeat_interleave(N_ITEMS)
    oracles = {
        "hr": RetrievalHitRate,
        "ndcg": RetrievalNormalizedDCG,
        "recall": RetrievalRecall,
        "mrr": RetrievalMRR,
    }
    assert oracles.keys() == metrics.FULL.keys()
    for name, oracle in oracles.items():
        expected = float(oracle(top_k=cutoff)(*flat, indexes=index))
        assert metrics.FULL[name](ranked, cutoff).mean() == pytest.approx(expected, abs=1e-6), name


@given(st.lists(st.integers(-2, 2), min_size=8, max_size=8), st.sets(st.integers(0, 7), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_ranks_are_those_of_a_list_in_which_ties_lose(scores: list[int], positives: set[int]) -> None:
    found = metrics.ranks_in_catalogue(np.array(scores, float), np.array(sorted(positives)))
    ordered = sorted(range(8), key=lambda item: (-scores[item], item in positives))
    assert found.tolist() == [rank for rank, item in enumerate(ordered, 1) if item in positives]


@given(st.integers(0, 1000), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_metrics_are_shares_and_agree_with_each_other(seed: int, cutoff: int) -> None:
    ranker, train, test = made(6, seed)
    ranked = catalogue.rank({"x": ranker}, train, N_ITEMS, test, np.arange(N_USERS))["x"].ranked
    hr, ndcg, recall, mrr = (metrics.FULL[name](ranked, cutoff) for name in ("hr", "ndcg", "recall", "mrr"))
    for values in (hr, ndcg, recall, mrr):
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-12
    assert ((hr > 0) == (recall > 0)).all()
    assert (recall <= hr).all()
    assert (mrr <= hr).all()
    one = ranked.positives == 1
    assert (recall[one] == hr[one]).all()


def test_with_one_positive_each_the_two_protocols_metrics_agree() -> None:
    ranker, train, test = made(1)
    ranked = catalogue.rank({"x": ranker}, train, N_ITEMS, test, np.arange(N_USERS))["x"].ranked
    for name, of in metrics.SAMPLED.items():
        assert metrics.FULL[name](ranked, 10) == pytest.approx(of(ranked.ranks, 10))


def test_what_is_recommended() -> None:
    ranker, train, test = made(2)
    popularity = np.bincount(train.items, minlength=N_ITEMS)
    rankers = {"x": ranker, "popular": Popularity(popularity)}
    found = catalogue.rank(rankers, train, N_ITEMS, test, np.arange(N_USERS))
    for name, scores in (("x", ranker.scores), ("popular", np.tile(popularity, (N_USERS, 1)).astype(float))):
        scores = scores.copy()
        scores[train.users(), train.items] = -np.inf
        lists = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        assert found[name].recommended.tolist() == np.bincount(lists.ravel(), minlength=N_ITEMS).tolist()
        assert found[name].popularity == pytest.approx((popularity / N_USERS)[lists].mean(axis=1))
        assert found[name].novelty == pytest.approx(-np.log2(np.maximum(popularity, 1) / N_USERS)[lists].mean(axis=1))
        assert found[name].diversity == pytest.approx([distances(train, of_user) for of_user in lists])
    taken = catalogue.popularity_of_positives(train, N_ITEMS, test, np.arange(N_USERS))
    expected = np.mean([(popularity / N_USERS)[test[test[:, 0] == user, 1]].mean() for user in range(N_USERS)])
    assert taken == pytest.approx(expected)


def distances(train: ItemsByUser, items: np.ndarray) -> float:
    """Mean of 1 - cosine over all pairs of items, from the dense matrix of interactions."""
    dense = np.zeros((N_USERS, N_ITEMS))
    dense[train.users(), train.items] = 1
    norms = np.maximum(np.linalg.norm(dense, axis=0), 1)
    cosine = (dense.T @ dense) / np.outer(norms, norms)
    first, second = np.triu_indices(len(items), 1)
    return float(np.mean(1 - cosine[items[first], items[second]]))


def test_lists_of_alike_and_of_unlike_items() -> None:
    """Items 0 and 1 have the same users, 2 has others, and nobody has 3."""
    train = ItemsByUser.of(np.array([0, 0, 1, 1, 2, 3], np.int32), np.array([0, 1, 0, 1, 2, 2], np.int32), 4)
    diversity = Diversity(train, 4)
    of_lists = [diversity.of_list(np.array(items)) for items in ([0, 1], [0, 2], [2, 3], [0, 1, 2], [1], [])]
    assert of_lists == pytest.approx([0, 1, 1, 2 / 3, 0, 0])
    assert self_information(train, 4) == pytest.approx([1, 1, 1, 2])


def test_users_are_drawn_by_seed() -> None:
    _, _, test = made(3)
    assert catalogue.draw_users(test, 100, 0).tolist() == list(range(N_USERS))
    some = catalogue.draw_users(test, 7, 0)
    assert len(set(some.tolist())) == 7
    assert some.tolist() == sorted(some.tolist()) == catalogue.draw_users(test, 7, 0).tolist()
    assert some.tolist() != catalogue.draw_users(test, 7, 1).tolist()


def test_some_of_the_users() -> None:
    ranker, train, test = made(4)
    ranked = catalogue.rank({"x": ranker}, train, N_ITEMS, test, np.arange(N_USERS))["x"].ranked
    chosen = np.random.default_rng(0).random(N_USERS) < 0.4
    apart = catalogue.rank({"x": ranker}, train, N_ITEMS, test, np.flatnonzero(chosen))["x"].ranked
    part = ranked.of_users(chosen)
    assert part.owner.tolist() == apart.owner.tolist()
    assert part.ranks.tolist() == apart.ranks.tolist()
    assert metrics.user_ndcg(part, 10) == pytest.approx(metrics.user_ndcg(ranked, 10)[chosen])


def test_each_long_step_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    model = random_model(n_users=20, n_items=30)
    test = np.stack([np.arange(20), np.zeros(20)], axis=1).astype(np.int32)
    fitted = baselines.fit(model.train, 30, model.train, test)
    catalogue.rank(fitted.rankers, model.train, 30, test, np.arange(20))
    assert [record.getMessage() for record in caplog.records] == [
        "choosing the regularisation of EASE on 20 validation users",
        "fitting baseline EASE on 20 users and 30 items",
        "choosing the neighbours of item-kNN on 20 validation users",
        "fitting baseline item-kNN on 20 users and 30 items",
        "fitting baseline item-kNN on 20 users and 30 items",
        "ranking the whole catalogue for 20 users by ease, item_knn, popularity",
    ]
