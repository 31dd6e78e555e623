"""The gate: what it compares, what opens and closes it, and what it says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ncf.evaluation.gate import NotWorseThan, gate
from ncf.evaluation.intervals import Estimate
from ncf.evaluation.summary import ChampionSummary, Summary


def sure(mean: float) -> Estimate:
    return Estimate(mean, mean, mean)


def summary(
    gains: Mapping[str, Estimate], champion: ChampionSummary | None = None, own: float = 0.03, hr: float = 0.5
) -> Summary:
    """A model with NDCG@10 ``own`` on the whole catalogue, and baselines with given differences to it."""
    of_rankers = {name: {"full_ndcg_at_10": sure(own - gain.mean)} for name, gain in gains.items()}
    of_rankers["model"] = {"full_ndcg_at_10": sure(own)}
    named = {name: {"full_ndcg_at_10": gain} for name, gain in gains.items()}
    return Summary({"hr_at_10": hr}, of_rankers, named, {}, [], [], champion, 99, {}, 0)


WORSE, UNSURE, BETTER = Estimate(-0.01, -0.02, -0.001), Estimate(-0.01, -0.03, 0.001), Estimate(0.01, 0.005, 0.015)


@pytest.mark.parametrize(
    ("not_worse_than", "popularity", "ease", "passed"),
    [
        ("best", BETTER, WORSE, False),
        ("best", BETTER, UNSURE, True),  # chance alone does not close it
        ("best", BETTER, Estimate(-0.01, -0.02, 0.0), True),  # not wholly below 0
        ("best", WORSE, BETTER, False),
        ("popularity", BETTER, WORSE, True),
        ("popularity", WORSE, BETTER, False),
        ("popularity", UNSURE, WORSE, True),
        ("none", WORSE, WORSE, True),
    ],
)
def test_the_baseline(not_worse_than: NotWorseThan, popularity: Estimate, ease: Estimate, passed: bool) -> None:
    checks = gate(summary({"popularity": popularity, "ease": ease}), 0, not_worse_than, 0.0)
    assert len(checks) == (not_worse_than != "none")
    assert all(check.passed for check in checks) is passed


def test_the_best_baseline_is_that_of_the_whole_catalogue() -> None:
    (check,) = gate(summary({"ease": BETTER, "item_knn": WORSE, "popularity": BETTER}), 0, "best", 0.0)
    assert check.text == (
        "NDCG@10 on the whole catalogue is 0.0300, and 0.0400 of item-kNN, the best baseline: the difference is -0.0100 "
        "(95 %: -0.0200 to -0.0010); its interval must not lie wholly below 0 (not_worse_than=best)"
    )
    (check,) = gate(summary({"ease": BETTER, "item_knn": WORSE, "popularity": UNSURE}), 0, "popularity", 0.0)
    assert "0.0400 of popularity: the difference is" in check.text
    assert "(not_worse_than=popularity)" in check.text


@pytest.mark.parametrize(("hr", "passed"), [(0.5, True), (0.4999, False)])
def test_the_least_hr(hr: float, passed: bool) -> None:
    (check,) = gate(summary({"popularity": BETTER}, hr=hr), 0.5, "none", 0.0)
    assert check.passed is passed
    assert check.text == f"HR@10 among 99 drawn items is {hr:.4f}; at least 0.5 is asked for (min_hr_at_10)"


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("full_ndcg_at_10", "NDCG@10 on the whole catalogue differs"),
        ("ndcg_at_10", "NDCG@10 among 99 drawn items (too few users can be compared on the whole catalogue) differs"),
    ],
)
@pytest.mark.parametrize(("allowed", "passed"), [(0.0, False), (0.001, True)])
def test_the_champion_is_compared_by_the_metric_that_the_users_allow(
    metric: str, words: str, allowed: float, passed: bool
) -> None:
    gains = {"full_ndcg_at_10": BETTER, "ndcg_at_10": BETTER, metric: WORSE}
    (check,) = gate(summary({}, ChampionSummary({}, {}, gains, metric)), 0, "none", allowed)
    assert check.text.startswith(f"{words} from the champion's by -0.0100 (95 %: -0.0200 to -0.0010)")
    assert check.passed is passed
