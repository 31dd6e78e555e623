"""Sampled ranking metrics and their intervals, against torchmetrics and a naive reading of their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.errors import InputError
from ncf.evaluation import metrics
from ncf.evaluation.intervals import estimate

SCORES = st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=8)  # few values: many ties


@given(SCORES, st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_metrics_follow_their_definitions(table: list[list[int]], cutoff: int) -> None:
    scores = np.array(table, float)
    masked = np.zeros((len(scores), 5), bool)
    masked[:, 4] = scores[:, 5] > 2
    ranks = metrics.ranks_among_candidates(scores[:, 0], scores[:, 1:], masked)
    for row, rank, mask in zip(table, ranks, masked, strict=True):
        rivals = [score for score, hidden in zip(row[1:], mask, strict=True) if not hidden]
        ranking = sorted(rivals, reverse=True)
        expected = 1 + sum(score >= row[0] for score in ranking)
        assert rank == expected
    assert metrics.hits(ranks, cutoff).tolist() == [float(rank <= cutoff) for rank in ranks]
    expected_ndcg = [1 / math.log2(rank + 1) if rank <= cutoff else 0.0 for rank in ranks]
    assert metrics.ndcg(ranks, cutoff).tolist() == pytest.approx(expected_ndcg)
    assert metrics.reciprocal_ranks(ranks).tolist() == pytest.approx([1 / rank for rank in ranks])


def test_metrics_equal_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.retrieval import RetrievalHitRate, RetrievalNormalizedDCG

    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 100))
    ranks = metrics.ranks_among_candidates(scores[:, 0], scores[:, 1:], np.zeros((200, 99), bool))
    flat = torch.tensor(scores).flatten()
    target = torch.zeros(200, 100, dtype=torch.bool)
    target[:, 0] = True
    index = torch.arange(200).repeat_interleave(100)
    for oracle, ours in (
        (RetrievalHitRate(top_k=10), metrics.hits(ranks, 10)),
        (RetrievalNormalizedDCG(top_k=10), metrics.ndcg(ranks, 10)),
    ):
        assert ours.mean() == pytest.approx(float(oracle(flat, target.flatten(), indexes=index)), abs=1e-6)


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        metrics.ranks_among_candidates(np.array([np.nan]), np.array([[1.0]]), np.zeros((1, 1), bool))


def test_intervals_are_those_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).random(400)
    found = estimate({"values": values}, np.arange(400), 2000, 0)["values"]
    spread = values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * spread, abs=0.004)
    assert found.high == pytest.approx(values.mean() + 1.96 * spread, abs=0.004)
    assert estimate({"values": values}, np.arange(400), 2000, 0)["values"] == found


def test_users_are_resampled_with_all_their_rows() -> None:
    of_users = np.random.default_rng(2).random(100)
    users = np.repeat(np.arange(100), 9)
    rows = of_users[users]  # nine rows that say the same
    apart = estimate({"x": of_users}, np.arange(100), 1000, 0)["x"]
    together = estimate({"x": rows}, users, 1000, 0)["x"]
    assert together == pytest.approx(apart)
    naive = estimate({"x": rows}, np.arange(len(rows)), 1000, 0)["x"]
    assert together.high - together.low > 2.5 * (naive.high - naive.low)


def test_a_user_with_more_rows_weighs_more() -> None:
    found = estimate({"x": np.array([1.0, 1.0, 1.0, 0.0])}, np.array([7, 7, 7, 3]), 1000, 0)["x"]
    assert (found.mean, found.low, found.high) == (0.75, 0.0, 1.0)


def test_intervals_of_differences_are_paired() -> None:
    rng = np.random.default_rng(3)
    one = rng.random(500)
    other = one - 0.01  # always worse by a little: the difference is sure, though the values themselves are not
    columns = {"one": one, "other": other, "gain": one - other}
    found = estimate(columns, np.arange(500), 500, 0)
    assert found["one"].low < found["other"].high
    assert found["gain"] == pytest.approx((0.01, 0.01, 0.01))


@pytest.mark.parametrize("users", [1, 3])
def test_few_users_have_intervals_too(users: int) -> None:
    found = estimate({"x": np.ones(users)}, np.arange(users), 100, 0)["x"]
    assert found == (1, 1, 1)


def test_gini() -> None:
    assert metrics.gini(np.array([3, 3, 3, 3])) == 0
    assert metrics.gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert metrics.gini(np.zeros(4, int)) == 0
