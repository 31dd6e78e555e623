"""Ranking metrics against torchmetrics and against a naive reading of their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.data.items_by_user import ItemsByUser
from ncf.errors import InputError
from ncf.evaluation import baselines, metrics

SCORES = st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=8)  # few values: many ties


@given(SCORES, st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_metrics_follow_their_definitions(table: list[list[int]], cutoff: int) -> None:
    scores = np.array(table, float)
    masked = np.zeros((len(scores), 5), bool)
    masked[:, 4] = scores[:, 5] > 2
    places = metrics.ranks(scores[:, 0], scores[:, 1:], masked)
    for row, place, mask in zip(table, places, masked, strict=True):
        rivals = [score for score, hidden in zip(row[1:], mask, strict=True) if not hidden]
        ranking = sorted(rivals, reverse=True)
        expected = 1 + sum(score >= row[0] for score in ranking)
        assert place == expected
    assert metrics.hits(places, cutoff).tolist() == [float(place <= cutoff) for place in places]
    expected_ndcg = [1 / math.log2(place + 1) if place <= cutoff else 0.0 for place in places]
    assert metrics.ndcg(places, cutoff).tolist() == pytest.approx(expected_ndcg)
    assert metrics.reciprocal_ranks(places).tolist() == pytest.approx([1 / place for place in places])


def test_metrics_equal_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.retrieval import RetrievalHitRate, RetrievalNormalizedDCG

    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 100))
    places = metrics.ranks(scores[:, 0], scores[:, 1:], np.zeros((200, 99), bool))
    flat = torch.tensor(scores).flatten()
    target = torch.zeros(200, 100, dtype=torch.bool)
    target[:, 0] = True
    index = torch.arange(200).repeat_interleave(100)
    for oracle, ours in (
        (RetrievalHitRate(top_k=10), metrics.hits(places, 10)),
        (RetrievalNormalizedDCG(top_k=10), metrics.ndcg(places, 10)),
    ):
        assert ours.mean() == pytest.approx(float(oracle(flat, target.flatten(), indexes=index)), abs=1e-6)


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        metrics.ranks(np.array([np.nan]), np.array([[1.0]]), np.zeros((1, 1), bool))


def test_bootstrap_covers_the_mean() -> None:
    values = np.random.default_rng(1).random(400)
    low, high = metrics.bootstrap(values, 2000, 0)
    spread = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * spread, abs=0.004)
    assert high == pytest.approx(values.mean() + 1.96 * spread, abs=0.004)
    assert metrics.bootstrap(values, 2000, 0) == (low, high)


def test_gini() -> None:
    assert metrics.gini(np.array([3, 3, 3, 3])) == 0
    assert metrics.gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert metrics.gini(np.zeros(4, int)) == 0


def test_item_knn_against_a_naive_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "NEIGHBOURS", 5)
    rng = np.random.default_rng(2)
    matrix = rng.random((15, 12)) < 0.4
    users, items = (column.astype(np.int32) for column in np.nonzero(matrix))
    train = ItemsByUser.of(users, items, 15)
    asked = rng.permuted(np.tile(np.arange(12), (15, 1)), axis=1)[:, :4]
    scores = baselines.item_knn(train, 12, np.arange(15), asked)
    dense = matrix.astype(float)
    for user in range(15):
        for column, item in enumerate(asked[user]):
            similar = [
                0.0
                if other == item
                else dense[:, item]
                @ dense[:, other]
                / math.sqrt(max(dense[:, item].sum(), 1) * max(dense[:, other].sum(), 1))
                for other in range(12)
            ]
            least = sorted(similar)[-5]
            expected = sum(
                value for value, has in zip(similar, matrix[user], strict=True) if has and value >= least - 1e-9
            )
            assert scores[user, column] == pytest.approx(expected, abs=1e-5)
