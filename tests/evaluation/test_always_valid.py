"""The confidence sequence of two variants, in simulated experiments that are looked at every day."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ncf.evaluation.always_valid import LEAST_HITS, differences, verdict
from ncf.evaluation.intervals import Estimate

DAYS, USERS_A_DAY = 60, 200
LOOKS = range(USERS_A_DAY, DAYS * USERS_A_DAY + 1, USERS_A_DAY)


def experiment(
    rng: np.random.Generator, share: float, champion: float, challenger: float, ndcg: bool = False
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Assignments and outcomes of an experiment: hits, or the NDCG of hits at a random rank."""
    n = DAYS * USERS_A_DAY
    challenged = rng.random(n) < share
    hits = (rng.random(n) < np.where(challenged, challenger, champion)).astype(np.float64)
    return challenged, hits / np.log2(rng.integers(2, 12, n)) if ndcg else hits


def difference(challenged: NDArray[np.bool_], outcomes: NDArray[np.float64], share: float) -> Estimate | None:
    """The difference by all users."""
    return differences(challenged, outcomes, share, [len(outcomes)])[0]


def verdicts(experiments: int, share: float, champion: float, challenger: float, ndcg: bool = False) -> list[set[str]]:
    """All verdicts of each experiment, over its days."""
    rng = np.random.default_rng(7)
    return [
        {verdict(look) for look in differences(*experiment(rng, share, champion, challenger, ndcg), share, LOOKS)}
        for _ in range(experiments)
    ]


@pytest.mark.parametrize(("share", "rate", "ndcg"), [(0.5, 0.1, False), (0.2, 0.05, True), (0.1, 0.03, False)])
def test_equal_variants_are_told_apart_in_fewer_than_one_of_twenty_experiments(
    share: float, rate: float, ndcg: bool
) -> None:
    found = verdicts(1000, share, rate, rate, ndcg)
    wrong = sum(said != {"not yet"} for said in found)
    assert 0 < wrong < 50, "of 1,000 experiments with 60 looks each"


def test_a_fixed_interval_would_be_wrong_far_more_often() -> None:
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(200):
        challenged, hits = experiment(rng, 0.5, 0.1, 0.1)
        for n in LOOKS[1:]:
            a, b = hits[:n][challenged[:n]], hits[:n][~challenged[:n]]
            if abs(a.mean() - b.mean()) > 1.96 * np.sqrt(a.var() / len(a) + b.var() / len(b)):
                wrong += 1
                break
    assert wrong > 40, "more than one of five: this is what the sequence is for"


def test_a_clearly_worse_and_a_clearly_better_variant_are_found() -> None:
    assert all("worse" in said and "better" not in said for said in verdicts(100, 0.5, 0.12, 0.06))
    assert all("better" in said and "worse" not in said for said in verdicts(100, 0.3, 0.06, 0.12))


def test_the_estimate_is_the_difference_of_the_means() -> None:
    challenged, hits = experiment(np.random.default_rng(1), 0.4, 0.1, 0.15)
    estimate = difference(challenged, hits, 0.4)
    assert estimate
    plain = hits[challenged].mean() - hits[~challenged].mean()
    assert estimate.mean == pytest.approx(plain, abs=0.003)
    assert estimate.low < 0.05 < estimate.high


def test_few_users_say_nothing() -> None:
    challenged = np.arange(4 * LEAST_HITS) % 2 == 0
    hits = challenged.astype(np.float64)
    assert difference(challenged[:-2], hits[:-2], 0.5) is None
    assert verdict(difference(challenged, hits, 0.5)) == "better"
    assert verdict(difference(challenged, 1 - hits, 0.5)) == "worse", "a challenger without any hit"
    assert difference(challenged, 0 * hits, 0.5) is None
    assert difference(challenged[:0], hits[:0], 0.5) is None
    assert verdict(None) == "not yet"
    assert verdict(Estimate(0.1, 0.0, 0.2)) == "not yet"
