"""Warnings about baselines with a better mean than the model."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ncf.evaluation.intervals import Estimate
from ncf.evaluation.summary import Summary
from ncf.reports.better_baselines import better_baselines

OWN = {"ndcg_at_10": 0.3, "hr_at_10": 0.5, "full_ndcg_at_10": 0.029, "full_hr_at_10": 0.06, "full_recall_at_10": 0.06}


def summary(others: Mapping[str, Mapping[str, float]], width: float = 0.001) -> Summary:
    """Of a model with the figures ``OWN`` and baselines that have others; gains within ``width`` of their means."""

    def near(mean: float) -> Estimate:
        return Estimate(mean, mean - width, mean + width)

    of_rankers = {name: {**OWN, **found} for name, found in {"model": {}, **others}.items()}
    gains = {name: {metric: near(OWN[metric] - value) for metric, value in of_rankers[name].items()} for name in others}
    named = {name: {metric: near(value) for metric, value in found.items()} for name, found in of_rankers.items()}
    return Summary({}, named, gains, {}, [], [], None, 99, {}, 0)


@pytest.mark.parametrize(
    ("others", "sentences"),
    [
        ({"ease": {}, "popularity": {"hr_at_10": 0.4, "full_ndcg_at_10": 0.01}}, []),
        (
            {"ease": {"full_ndcg_at_10": 0.038, "full_hr_at_10": 0.1}, "item_knn": {"full_ndcg_at_10": 0.02}},
            ["EASE has a better NDCG@10 on the whole catalogue: 0.0380 against 0.0290."],
        ),
        (
            {"item_knn": {"full_ndcg_at_10": 0.035}, "ease": {"full_ndcg_at_10": 0.038}},
            ["EASE and item-kNN have a better NDCG@10 on the whole catalogue: 0.0380 and 0.0350 against 0.0290."],
        ),
        (
            {name: {"full_ndcg_at_10": 0.035} for name in ("ease", "item_knn", "popularity")},
            [
                "EASE, item-kNN and popularity have a better NDCG@10 on the whole catalogue: "
                "0.0350, 0.0350 and 0.0350 against 0.0290."
            ],
        ),
        (
            {"popularity": {"hr_at_10": 0.51}, "ease": {"full_recall_at_10": 0.07}},
            [
                "EASE has a better Recall@10 on the whole catalogue: 0.0700 against 0.0600.",
                "Popularity has a better HR@10 among drawn items: 0.5100 against 0.5000.",
            ],
        ),
        ({"ease": {"full_ndcg_at_10": 0.02904}}, []),  # both would read 0.0290
    ],
)
def test_a_sentence_for_each_protocol(others: Mapping[str, Mapping[str, float]], sentences: list[str]) -> None:
    assert better_baselines(summary(others)) == sentences


def test_a_difference_whose_interval_includes_0_is_marked() -> None:
    others = {"ease": {"full_ndcg_at_10": 0.038}, "item_knn": {"full_ndcg_at_10": 0.030}}
    assert better_baselines(summary(others, width=0.005)) == [
        "EASE and item-kNN have a better NDCG@10 on the whole catalogue: 0.0380 and 0.0300 against 0.0290 "
        "(the 95 % interval of the difference to item-kNN includes 0)."
    ]
